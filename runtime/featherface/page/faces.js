// From pixels to faces, with ONNX Runtime Web from this folder.
import * as ort from "./ort/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
// Threads need headers that featherface web sends; other servers may not.
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;

const LEAST_SCORE = 0.05;
const CANDIDATES = 5000;
const NMS_IOU = 0.4;

export class Detector {
  static async load(url) {
    const answer = await fetch(url);
    if (!answer.ok) {
      throw new Error(`expected a network at ${url}, got ${answer.status}`);
    }
    const session = await ort.InferenceSession.create(new Uint8Array(await answer.arrayBuffer()));
    return new Detector(session);
  }

  constructor(session) {
    this.session = session;
  }

  // Rows above the least score, best first, in pixels of the image divided by its scale.
  async candidates(image, scale = { x: 1, y: 1 }) {
    const pixels = new ort.Tensor("float32", planes(image), [1, 3, image.height, image.width]);
    const { boxes, scores, landmarks } = await this.session.run({ pixels });
    const rows = [];
    for (let row = 0; row < scores.data.length; row++) {
      if (scores.data[row] > LEAST_SCORE) {
        rows.push({
          score: scores.data[row],
          box: divided(boxes.data.subarray(4 * row, 4 * row + 4), scale),
          landmarks: divided(landmarks.data.subarray(10 * row, 10 * row + 10), scale),
        });
      }
    }
    for (const tensor of [pixels, boxes, scores, landmarks]) {
      tensor.dispose();
    }
    return rows.sort((a, b) => b.score - a.score).slice(0, CANDIDATES);
  }
}

// The rows at or above a score that no better one overlaps. Greedy, so that what a lower threshold
// adds never changes what a higher one keeps: moving the slider needs no second look.
export function suppressed(rows, threshold) {
  const kept = [];
  for (const row of rows) {
    if (row.score <= threshold) {
      break;
    }
    if (kept.every((better) => overlap(better.box, row.box) <= NMS_IOU)) {
      kept.push(row);
    }
  }
  return kept;
}

// RGBA rows to planes of blue, green and red, 0 to 255, which is what the network was trained on.
function planes({ data, width, height }) {
  const area = width * height;
  const values = new Float32Array(3 * area);
  for (let place = 0; place < area; place++) {
    values[place] = data[4 * place + 2];
    values[area + place] = data[4 * place + 1];
    values[2 * area + place] = data[4 * place];
  }
  return values;
}

function divided(values, { x, y }) {
  return Array.from(values, (value, index) => value / (index % 2 ? y : x));
}

function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const both = Math.max(width, 0) * Math.max(height, 0);
  return both / (area(a) + area(b) - both);
}

function area([left, top, right, bottom]) {
  return (right - left) * (bottom - top);
}
