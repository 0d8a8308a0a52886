// Finds the faces of a photo with OpenCV alone, 4.5 or newer, as src.predict does:
//
//   g++ -std=c++17 -O2 faces.cpp -o faces $(pkg-config --cflags --libs opencv4)
//   ./faces faces.onnx photo.jpg 0.5 640 480
//
// A line per face, best first: x1 y1 x2 y2 score, then five points, in pixels of the photo. The file
// is one of `python -m src.export decode=true size=[480,640]`, and the last two words are that size,
// width first. OpenCV 5 also reads a file of any size, flagship_decoded.onnx: without the two words.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <opencv2/dnn.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

constexpr float kOverlap = 0.4F;  // above which the worse of two boxes goes
constexpr int kCandidates = 5000; // best boxes that enter suppression
const cv::Scalar kMean(104, 117, 123); // BGR; zero to the network

// What the photo is scaled to: as large as the frame allows.
cv::Size fitted(const cv::Size &image, const cv::Size &frame) {
  const double factor = std::min(static_cast<double>(frame.width) / image.width,
                                 static_cast<double>(frame.height) / image.height);
  return {std::max(1, static_cast<int>(std::nearbyint(image.width * factor))),
          std::max(1, static_cast<int>(std::nearbyint(image.height * factor)))};
}

// The photo in that size, and the mean colour right and below.
cv::Mat framed(const cv::Mat &image, const cv::Size &size, const cv::Size &frame) {
  cv::Mat scaled = image;
  if (size != image.size()) {
    const bool shrinks = std::max(size.width, size.height) < std::max(image.cols, image.rows);
    cv::resize(image, scaled, size, 0, 0, shrinks ? cv::INTER_AREA : cv::INTER_LINEAR);
  }
  cv::Mat whole;
  cv::copyMakeBorder(scaled, whole, 0, frame.height - size.height, 0, frame.width - size.width,
                     cv::BORDER_CONSTANT, kMean);
  return whole;
}

int run(const std::string &file, const std::string &photo, float threshold, cv::Size frame) {
  // As the network was trained and src.predict reads: as stored, not turned by EXIF data.
  const cv::Mat image = cv::imread(photo, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  if (image.empty()) {
    std::fprintf(stderr, "expected an image in %s, got none that can be read\n", photo.c_str());
    return 1;
  }
  const cv::Size seen = frame.empty() ? image.size() : frame;
  const cv::Size size = fitted(image.size(), seen);
  const double scales[] = {static_cast<double>(size.width) / image.cols,
                           static_cast<double>(size.height) / image.rows};
  cv::dnn::Net net = cv::dnn::readNetFromONNX(file);
  net.setInput(cv::dnn::blobFromImage(framed(image, size, seen))); // the mean is in the file
  std::vector<cv::Mat> outputs;
  net.forward(outputs, std::vector<cv::String>{"boxes", "scores", "landmarks"});
  const auto *corners = outputs[0].ptr<float>();  // [1, P, 4]: x1, y1, x2, y2 in pixels
  const auto *scores = outputs[1].ptr<float>();   // [1, P]
  const auto *points = outputs[2].ptr<float>();   // [1, P, 5, 2]

  std::vector<int> rows; // above the threshold
  std::vector<cv::Rect2d> boxes;
  std::vector<float> sure;
  for (int row = 0; row < static_cast<int>(outputs[1].total()); ++row) {
    if (scores[row] <= threshold) {
      continue;
    }
    const float *box = corners + 4 * row;
    boxes.emplace_back(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    sure.push_back(scores[row]);
    rows.push_back(row);
  }
  std::vector<int> kept;
  cv::dnn::NMSBoxes(boxes, sure, threshold, kOverlap, kept, 1.F, kCandidates);
  for (const int index : kept) {
    for (int place = 0; place < 4; ++place) {
      std::printf("%.2f ", corners[4 * rows[index] + place] / scales[place % 2]);
    }
    std::printf("%.4f", sure[index]);
    for (int place = 0; place < 10; ++place) {
      std::printf(" %.2f", points[10 * rows[index] + place] / scales[place % 2]);
    }
    std::printf("\n");
  }
  return 0;
}

int main(int count, char **words) {
  if (count != 3 && count != 4 && count != 6) {
    std::fprintf(stderr, "usage: %s faces.onnx photo.jpg [threshold [width height]]\n", words[0]);
    return 2;
  }
  try {
    const cv::Size frame =
        count == 6 ? cv::Size(std::stoi(words[4]), std::stoi(words[5])) : cv::Size();
    return run(words[1], words[2], count > 3 ? std::stof(words[3]) : 0.5F, frame);
  } catch (const std::exception &error) { // OpenCV says what it lacks
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
