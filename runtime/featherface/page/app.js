// The page: pictures in, boxes on them out.
import { Detector, suppressed } from "./faces.js";

const element = (id) => document.getElementById(id);
const canvas = element("picture");
const video = element("video");
const COLOURS = ["#ff0000", "#ffff00", "#ff00ff", "#00ff00", "#0000ff"];

let detector = null;
let shown = null; // the picture, its candidates, and how long they took
let turn = 0; // of the latest request: an older one that ends later is dropped
let stream = null;

function say(text) {
  element("status").textContent = text;
}

function failed(what, error) {
  say(`${what}: ${error.message || error}`);
}

// The pixels to look at, and how many of them there are for each of the picture's.
function pixelsOf(picture) {
  const longest = Math.max(picture.width, picture.height);
  const wanted = Number(element("size").value) || longest;
  const width = Math.max(1, Math.round((picture.width * wanted) / longest));
  const height = Math.max(1, Math.round((picture.height * wanted) / longest));
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  const scale = { x: width / picture.width, y: height / picture.height };
  return { image: context.getImageData(0, 0, width, height), scale };
}

async function look(picture) {
  const own = ++turn;
  const { image, scale } = pixelsOf(picture);
  const begun = performance.now();
  const rows = await detector.candidates(image, scale);
  if (own === turn) {
    shown = { picture, rows, milliseconds: performance.now() - begun };
    draw();
  }
}

function draw() {
  if (!shown) {
    return;
  }
  const { picture, rows, milliseconds } = shown;
  const faces = suppressed(rows, Number(element("threshold").value));
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.hidden = element("list").hidden = false;
  element("hint").hidden = true;
  const unit = Math.max(1, canvas.width / canvas.clientWidth); // a pixel of the screen
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const line = 2 * unit;
  const height = 14 * unit;
  context.font = `${height}px system-ui, sans-serif`;
  for (const { box, score, landmarks } of faces) {
    const [left, top, right, bottom] = box;
    context.lineWidth = Math.min(line, Math.max(1, Math.min(right - left, bottom - top) / 8));
    context.strokeStyle = "#3cdc50";
    context.strokeRect(left, top, right - left, bottom - top);
    if (element("landmarks").checked) {
      const dot = Math.min(3 * unit, Math.max(1, (right - left) / 16));
      COLOURS.forEach((colour, index) => {
        context.fillStyle = colour;
        context.beginPath();
        context.arc(landmarks[2 * index], landmarks[2 * index + 1], dot, 0, 2 * Math.PI);
        context.fill();
      });
    }
    label(context, score.toFixed(2), left, top, height);
  }
  const count = `${faces.length} ${faces.length === 1 ? "face" : "faces"}`;
  say(`${count}, ${milliseconds.toFixed(0)} ms, ${picture.width} x ${picture.height} pixels`);
  canvas.setAttribute("aria-label", `The picture with ${count} marked`);
  if (!stream) {
    list(faces); // a table that changes with every frame is of no use
  }
  canvas.dispatchEvent(new CustomEvent("faces", { detail: faces, bubbles: true }));
}

// A score above its box, or in the picture where there is no room above; dark, to be read anywhere.
function label(context, text, left, top, height) {
  const width = context.measureText(text).width;
  const x = Math.min(Math.max(left, 0), canvas.width - width);
  const y = Math.max(top - 2, height);
  context.fillStyle = "#000000";
  context.fillRect(x, y - height, width, height + 2);
  context.fillStyle = "#3cdc50";
  context.fillText(text, x, y - height / 7);
}

function list(faces) {
  const rows = faces.map(({ box, score }) => {
    const row = document.createElement("tr");
    for (const text of [...box.map((value) => value.toFixed(1)), score.toFixed(3)]) {
      row.append(Object.assign(document.createElement("td"), { textContent: text }));
    }
    return row;
  });
  element("rows").replaceChildren(...rows);
}

async function open(blob) {
  stopWebcam();
  let picture;
  try {
    // Upright, with the numbers of the file.
    picture = await createImageBitmap(blob, {
      imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none",
    });
  } catch {
    say(`expected a picture, got ${blob.name || "something"} that this browser cannot read`);
    return;
  }
  say("Looking …");
  await painted();
  await look(picture).catch((error) => failed("could not look at this picture", error));
}

function painted() {
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

function firstPicture(items) {
  const files = [...items].filter((file) => file && file.type.startsWith("image/"));
  if (files.length) {
    open(files[0]);
  } else {
    say("expected a picture, got none; take a file such as .jpg or .png");
  }
}

async function startWebcam() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    failed("could not use the webcam", error);
    return;
  }
  element("webcam").setAttribute("aria-pressed", "true");
  element("webcam").textContent = "Stop the webcam";
  video.srcObject = stream;
  await video.play();
  while (stream) {
    const frame = await createImageBitmap(video);
    try {
      await look(frame);
    } catch (error) {
      failed("could not look at the webcam", error);
      stopWebcam();
    }
    await painted();
  }
}

function stopWebcam() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  element("webcam").setAttribute("aria-pressed", "false");
  element("webcam").textContent = "Use the webcam";
}

async function loadModel() {
  say("Loading the network …");
  try {
    detector = await Detector.load(element("model").value);
    say("Ready.");
    if (shown) {
      await look(shown.picture);
    }
  } catch (error) {
    failed("could not load the network", error);
  }
}

element("file").addEventListener("change", ({ target }) => {
  firstPicture(target.files);
  target.value = ""; // so that the same file can be chosen again
});
element("webcam").addEventListener("click", () => (stream ? stopWebcam() : startWebcam()));
element("threshold").addEventListener("input", ({ target }) => {
  element("threshold-value").textContent = Number(target.value).toFixed(2);
  draw();
});
element("landmarks").addEventListener("change", draw);
window.addEventListener("resize", draw); // lines and scores are as wide as on the screen
element("size").addEventListener("change", () => shown && lookAgain());
element("model").addEventListener("change", loadModel);
element("options").addEventListener("submit", (event) => event.preventDefault());

function lookAgain() {
  look(shown.picture).catch((error) => failed("could not look at this picture", error));
}

for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    element("view").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") {
      firstPicture(event.dataTransfer.files);
    }
  });
}
document.addEventListener("paste", (event) => firstPicture(event.clipboardData.files));

const models = await (await fetch("models.json")).json();
for (const { name, file } of models) {
  element("model").append(new Option(name, file));
}
await loadModel();
