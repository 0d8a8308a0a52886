// Finds the faces of a photo with OpenCV alone, as src.predict does:
//
//   g++ -std=c++17 -O2 faces.cpp -o faces $(pkg-config --cflags --libs opencv5)
//   ./faces flagship_decoded.onnx photo.jpg 0.5
//
// A line per face, best first: x1 y1 x2 y2 score, then five points. The file is one of
// `python -m src.export decode=true`. Of any size it needs OpenCV 5: 4.6 wants a fixed one.

#include <cstdio>
#include <exception>
#include <opencv2/dnn.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

constexpr float kOverlap = 0.4F;  // above which the worse of two boxes goes
constexpr int kCandidates = 5000; // best boxes that enter suppression

int run(const std::string &file, const std::string &photo, float threshold) {
  // As the network was trained and src.predict reads: as stored, not turned by EXIF data.
  const cv::Mat image = cv::imread(photo, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  if (image.empty()) {
    std::fprintf(stderr, "expected an image in %s, got none that can be read\n", photo.c_str());
    return 1;
  }
  cv::dnn::Net net = cv::dnn::readNetFromONNX(file);
  net.setInput(cv::dnn::blobFromImage(image)); // BGR, 0 to 255: the mean is in the file
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
    const float *box = corners + 4 * rows[index];
    std::printf("%.2f %.2f %.2f %.2f %.4f", box[0], box[1], box[2], box[3], sure[index]);
    for (int place = 0; place < 10; ++place) {
      std::printf(" %.2f", points[10 * rows[index] + place]);
    }
    std::printf("\n");
  }
  return 0;
}

int main(int count, char **words) {
  if (count < 3) {
    std::fprintf(stderr, "usage: %s faces.onnx photo.jpg [threshold]\n", words[0]);
    return 2;
  }
  try {
    return run(words[1], words[2], count > 3 ? std::stof(words[3]) : 0.5F);
  } catch (const std::exception &error) { // OpenCV says what it lacks
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
