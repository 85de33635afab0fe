// The check for breaking changes finds each of these, and accepts additions.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { breaking, majorMoved } from "./breaking.mjs";

const spec = JSON.parse(readFileSync(new URL("../../openapi/openapi.json", import.meta.url), "utf8"));
const changed = (change) => {
  const copy = structuredClone(spec);
  change(copy);
  return breaking(spec, copy);
};
const post = (copy) => copy.paths["/api/appointments"].post;

const FAULTS = {
  "an operation that is gone": (copy) => delete copy.paths["/api/slots"].get,
  "a status that is gone": (copy) => delete post(copy).responses["409"],
  "a field that was renamed": (copy) => {
    const { properties } = copy.components.schemas.Appointment;
    properties.starts = properties.appointment_datetime;
    delete properties.appointment_datetime;
  },
  "a field that may be absent now": (copy) => {
    copy.components.schemas.Appointment.required = copy.components.schemas.Appointment.required.filter((name) => name !== "status");
  },
  "a field that may be null now": (copy) => (copy.components.schemas.Appointment.properties.reason.nullable = true),
  "a field that is required now": (copy) => copy.components.schemas.AppointmentInput.required.push("reason"),
  "a tighter limit": (copy) => (copy.components.schemas.AppointmentInput.properties.reason.maxLength = 10),
  "a pattern": (copy) => (copy.components.schemas.AppointmentInput.properties.reason.pattern = "^[a-z]*$"),
  "a list of values where all were taken": (copy) => (copy.components.schemas.AppointmentInput.properties.reason.enum = ["Follow-up"]),
  "another type": (copy) => (copy.components.schemas.Appointment.properties.id.type = "string"),
  "a new value of an answer": (copy) => copy.components.schemas.AppointmentStatus.enum.push("LOST"),
  "a value that is gone": (copy) => copy.components.schemas.AppointmentStatus.enum.pop(),
  "a header that is gone": (copy) => delete post(copy).responses["201"].headers.ETag,
  "a parameter that is gone": (copy) => (post(copy).parameters = []),
  "a parameter that is required now": (copy) => (post(copy).parameters[0].required = true),
  "an operation that was renamed": (copy) => (post(copy).operationId = "book"),
  "an operation that needs a token now": (copy) => (copy.paths["/healthz"].get.security = [{ bearerAuth: [] }]),
};

for (const [name, change] of Object.entries(FAULTS)) {
  test(`${name} breaks clients`, () => assert.notEqual(changed(change).length, 0));
}

test("additions break nobody", () => {
  const found = changed((copy) => {
    copy.paths["/api/new"] = structuredClone(copy.paths["/api/slots"]);
    copy.components.schemas.Appointment.properties.room = { type: "string" };
    copy.components.schemas.AppointmentInput.properties.room = { type: "string" };
    post(copy).responses["410"] = post(copy).responses["409"];
    post(copy).parameters.push({ name: "dry_run", in: "query", schema: { type: "boolean" } });
  });
  assert.deepEqual(found, []);
});

test("other texts and examples break nobody", () => {
  const found = changed((copy) => {
    post(copy).summary = post(copy).description = "Books.";
    post(copy).parameters[0].description = "A key.";
    post(copy).responses["201"].description = "Booked.";
    post(copy).requestBody.content["application/json"].example = {};
    Object.assign(copy.components.schemas.Appointment.properties.reason, { description: "Why.", example: "Cough" });
  });
  assert.deepEqual(found, []);
});

test("only a new major version may break clients", () => {
  const at = (version) => ({ info: { version } });
  assert.ok(!majorMoved(at("1.2.0"), at("1.3.0")));
  assert.ok(majorMoved(at("1.2.0"), at("2.0.0")));
  assert.ok(majorMoved(at("0.1.4"), at("0.2.0")));
  assert.ok(!majorMoved(at("0.1.4"), at("0.1.5")));
});
