// Uses the page as a person would and prints what happened, as JSON:
// node look_at_page.mjs URL CHROMIUM FOLDER_OF_SCREENSHOTS PICTURE ...
import { createRequire } from "node:module";

const puppeteer = createRequire(`${process.cwd()}/`)("puppeteer-core");
const [url, executablePath, screenshots, ...pictures] = process.argv.slice(2);
const browser = await puppeteer.launch({
  executablePath,
  args: ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
});
const page = await browser.newPage();
const result = { errors: [], elsewhere: [], faces: [], statuses: [] };
page.on("console", (message) => message.type() === "error" && result.errors.push(message.text()));
page.on("pageerror", (error) => result.errors.push(String(error)));
page.on("request", (request) => {
  if (!request.url().startsWith(url) && !/^(blob|data):/.test(request.url())) {
    result.elsewhere.push(request.url());
  }
});
const status = () => page.$eval("#status", (element) => element.textContent);
const says = (pattern) =>
  page.waitForFunction(
    (source) => new RegExp(source).test(document.getElementById("status").textContent),
    { timeout: 60000 }, pattern,
  );

// A picture is looked at, and its boxes caught as they are drawn.
async function look(act) {
  await page.evaluate(() => {
    window.seen = new Promise((resolve) =>
      document.addEventListener("faces", ({ detail }) => resolve(detail), { once: true }),
    );
  });
  await act();
  return page.evaluate(() => window.seen);
}

await page.setViewport({ width: 1280, height: 900 });
await page.goto(url, { waitUntil: "networkidle0" });
await says("Ready");
result.isolated = await page.evaluate(() => crossOriginIsolated);
await page.setOfflineMode(true); // all that is needed is there
await page.$eval("#threshold", (element) => {
  element.value = "0.05";
  element.dispatchEvent(new Event("input", { bubbles: true }));
});
const file = await page.$("#file");
for (const picture of pictures) {
  result.faces.push(await look(() => file.uploadFile(picture)));
  result.statuses.push(await status());
}
result.rows = await page.$$eval("#rows tr", (rows) => rows.length);
for (const [width, scheme] of [[1280, "light"], [390, "dark"], [390, "light"]]) {
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.screenshot({ path: `${screenshots}/${width}_${scheme}.png`, fullPage: true });
  result[`scores_${width}`] = await page.$eval( // height of their digits' font on the screen
    "#picture", (canvas) =>
      (parseFloat(canvas.getContext("2d").font) * canvas.clientWidth) / canvas.width,
  );
  result[`overflow_${width}`] = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
}

// Fewer faces without another look; the slider by keyboard.
await page.focus("#threshold");
const fewer = await look(() => page.keyboard.press("End"));
result.fewer = fewer.length;

// What is no picture.
await page.evaluate(() => {
  const data = new DataTransfer();
  data.items.add(new File(["text"], "notes.txt", { type: "text/plain" }));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
});
result.refused = await status();

// The keyboard reaches everything in its order.
await page.evaluate(() => document.activeElement.blur());
result.order = [];
for (let press = 0; press < 8; press++) {
  await page.keyboard.press("Tab");
  result.order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.tagName));
}
result.unnamed = await page.evaluate(() =>
  [...document.querySelectorAll("input, select, button")]
    .filter((one) => !one.textContent.trim() && !one.labels?.length)
    .map((one) => one.id),
);

// The webcam, which is a generated one.
await page.click("#webcam");
await says("x (480|720) pixels");
result.webcam = await status();
await page.click("#webcam");
result.pressed = await page.$eval("#webcam", (element) => element.getAttribute("aria-pressed"));

console.log(JSON.stringify(result));
await browser.close();
