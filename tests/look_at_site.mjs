// Opens every page of a site at two widths and prints what is wrong with it, as JSON:
// node look_at_site.mjs FOLDER CHROMIUM [FOLDER_OF_SCREENSHOTS [PART_OF_A_NAME]]
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";

const puppeteer = createRequire(`${process.cwd()}/`)("puppeteer-core");
const [folder, executablePath, screenshots, part = ""] = process.argv.slice(2);
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript" };
const server = createServer((request, response) => {
  try {
    const path = decodeURIComponent(new URL(request.url, "http://x").pathname);
    const content = readFileSync(join(folder, path.endsWith("/") ? `${path}index.html` : path));
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const url = `http://127.0.0.1:${server.address().port}/`;
const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage();
const result = { pages: 0, elsewhere: [], errors: [], wide: [], small: [] };
let name = "";
await page.evaluateOnNewDocument(() => localStorage.clear()); // as who comes for the first time
page.on("console", (m) => m.type() === "error" && result.errors.push(`${name}: ${m.text()}`));
page.on("pageerror", (error) => result.errors.push(`${name}: ${error}`));
page.on("request", (request) => {
  const asked = request.url();
  if (!asked.startsWith(url) && !/^(blob|data):/.test(asked)) result.elsewhere.push(`${name}: ${asked}`);
});

// Texts of less than 11 pixels on the screen, drawings included.
const small = () =>
  [...document.querySelectorAll("article :is(p, li, td, th, code, text, figcaption)")]
    .filter((element) => {
      const scale = element.tagName === "text" ? element.getScreenCTM().a : 1;
      return parseFloat(getComputedStyle(element).fontSize) * scale < 10.99;
    })
    .map((element) => element.textContent.slice(0, 40));

const names = readdirSync(folder, { recursive: true }).map(String);
for (name of names.filter((each) => each.endsWith(".html") && each !== "404.html").sort()) {
  if (!name.includes(part)) continue;
  result.pages += 1;
  for (const [width, scheme] of [[1280, "light"], [390, "dark"]]) {
    await page.setViewport({ width, height: 900 });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.goto(url + name, { waitUntil: "load" });
    const dark = await page.evaluate(
      () => document.body.getAttribute("data-md-color-scheme") === "slate",
    );
    if (dark !== (scheme === "dark")) result.errors.push(`${name}: ${scheme} is not shown`);
    const over = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    if (over > 0) result.wide.push(`${name} at ${width}: ${over}`);
    for (const text of await page.evaluate(small)) result.small.push(`${name} at ${width}: ${text}`);
    if (screenshots) {
      const path = join(screenshots, `${name.replaceAll("/", "_")}_${width}.png`);
      await page.screenshot({ path, fullPage: true });
    }
  }
}
await browser.close();
server.close();
console.log(JSON.stringify(result, null, 1));
