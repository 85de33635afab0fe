// Tests Swagger UI, ReDoc and CORS in a real browser, as a person sees them at /docs.
//     node browser.mjs SERVER FOLDER ALLOWED_PORT
// The server admits only pages of http://127.0.0.1:ALLOWED_PORT.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [server, folder, allowedPort] = process.argv.slice(2);
const EMAIL = "admin@demo.example";
const PASSWORD = "demo-clinic-admin";
mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
});

/// Opens a page whose console errors and requests to other hosts are recorded.
async function watched(expectErrors = () => false) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
  const said = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !expectErrors(message.text())) said.push(message.text());
  });
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith("http") && url.origin !== server) said.push(`request to ${url.origin}`);
  });
  return { page, said };
}

/// Opens an operation in Swagger UI, sends it, and returns its status and body.
async function tryItOut(page, tag, operation, body) {
  const block = page.locator(`#operations-${tag}-${operation}`);
  if (!(await block.locator(".opblock-body").isVisible())) await block.locator(".opblock-summary-control").first().click();
  if (body !== undefined) await block.locator("textarea.body-param__text").fill(JSON.stringify(body, null, 2));
  const answered = page.waitForResponse((response) => response.request().method() !== "OPTIONS" && response.url().startsWith(`${server}/api/`));
  await block.locator("button.execute").click();
  const answer = await answered;
  const shown = block.locator(".live-responses-table .response-col_status").first();
  await shown.waitFor();
  await page.waitForFunction(
    ([id, status]) => document.querySelector(`#${id} .live-responses-table tbody .response-col_status`)?.textContent.includes(status),
    [`operations-${tag}-${operation}`, String(answer.status())],
  );
  const text = await block.locator(".live-responses-table tbody .highlight-code code").first().innerText();
  return { status: answer.status(), text, block };
}

let checks = 0;
function check(condition, what) {
  assert.ok(condition, what);
  checks += 1;
  console.log(`browser: ${what}`);
}

try {
  // A refused booking is a 409. The browser logs it to its console, but it is not an error of the page.
  const { page, said } = await watched((text) => text.includes("status of 409"));
  await page.goto(`${server}/docs`);
  await page.locator("#operations-Auth-login").waitFor();

  const login = await tryItOut(page, "Auth", "login", { email: EMAIL, password: PASSWORD });
  check(login.status === 200, "the demo login works with Try it out");
  const { access } = JSON.parse(login.text);
  await page.locator(".scheme-container button.authorize").click();
  await page.locator(".auth-container input").first().fill(access);
  await page.locator(".auth-btn-wrapper button.authorize").click();
  await page.locator(".auth-btn-wrapper button.btn-done").click();

  const get = async (path) => (await fetch(`${server}${path}`, { headers: { authorization: `Bearer ${access}` } })).json();
  const [patient] = await get("/api/patients?limit=1");
  const from = new Date(Date.now() + 3 * 86400e3).toISOString();
  const to = new Date(Date.now() + 17 * 86400e3).toISOString();
  const [slot] = await get(`/api/slots?from=${from}&to=${to}`);
  const wish = { doctor: slot.doctor, patient: patient.id, appointment_datetime: slot.start, reason: "Follow-up" };
  const booked = await tryItOut(page, "Appointments", "createAppointment", wish);
  check(booked.status === 201, "an appointment is booked with Try it out");
  const refused = await tryItOut(page, "Appointments", "createAppointment", wish);
  check(refused.status === 409, "the same again is refused");
  check(/"next_slots":\s*\[\s*\{\s*"start"/.test(refused.text), "the refusal shows the next times");
  await refused.block.locator(".live-responses-table").first().scrollIntoViewIfNeeded();
  await page.screenshot({ path: `${folder}/swagger-ui.png` });
  check(said.length === 0, `Swagger UI: no error on the console, no request to another host ${said.join("; ")}`);

  const redoc = await watched();
  await redoc.page.goto(`${server}/redoc`);
  await redoc.page.getByRole("heading", { name: "Book an appointment" }).first().waitFor();
  await redoc.page.screenshot({ path: `${folder}/redoc.png` });
  check(redoc.said.length === 0, `ReDoc: no error on the console, no request to another host ${redoc.said.join("; ")}`);

  // A front end of another origin.
  const page_of = (port) =>
    new Promise((resolve) => {
      const pages = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>Front end</title>"));
      pages.listen(port, "127.0.0.1", () => resolve(pages));
    });
  const call = async (origin) => {
    const tab = await browser.newPage();
    await tab.goto(origin);
    return tab.evaluate(
      async ([server, access]) => {
        try {
          const answer = await fetch(`${server}/api/patients`, {
            method: "POST",
            headers: { authorization: `Bearer ${access}`, "content-type": "application/json", "idempotency-key": crypto.randomUUID() },
            body: JSON.stringify({ first_name: "Ida", last_name: "Sørensen" }),
          });
          return { status: answer.status, location: answer.headers.get("location"), etag: answer.headers.get("etag") };
        } catch (error) {
          return { error: String(error) };
        }
      },
      [server, access],
    );
  };
  const allowed = await page_of(Number(allowedPort));
  const other = await page_of(0);
  const let_in = await call(`http://127.0.0.1:${allowedPort}`);
  check(let_in.status === 201 && let_in.location?.startsWith("/api/patients/") && let_in.etag?.startsWith('"1.'), "a front end of the listed origin creates a patient and reads its headers");
  const kept_out = await call(`http://127.0.0.1:${other.address().port}`);
  check("error" in kept_out, "a page of another origin is kept out");
  allowed.close();
  other.close();
  console.log(`browser: ${checks} checks`);
} finally {
  await browser.close();
}
