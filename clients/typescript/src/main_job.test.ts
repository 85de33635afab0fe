// The main job with generated types: register, a doctor, a patient, a mapping, a booking, the same booking again, and
// one of the alternative times. CLINICD_URL is the server's URL.
import assert from "node:assert/strict";
import test from "node:test";
import createClient from "openapi-fetch";
import type { components, paths } from "./contract.js";

type Slot = components["schemas"]["Slot"];

const baseUrl = process.env["CLINICD_URL"];
assert.ok(baseUrl, "CLINICD_URL is set");

/// Returns the data, or fails with the server's error.
function expected<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  assert.ok(answer.data !== undefined, `${answer.response.status} ${JSON.stringify(answer.error)}`);
  return answer.data;
}

test("the main job", async () => {
  const anonymous = createClient<paths>({ baseUrl });
  const name = `ts.${Date.now()}@clients.example`;
  const tokens = expected(
    await anonymous.POST("/api/auth/register", {
      body: { email: name, password: "seven quiet lanterns", clinic_name: "Typed Clinic" },
    }),
  );
  const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${tokens.access}` } });

  const doctor = expected(
    await client.POST("/api/doctors", {
      body: { first_name: "Elena", last_name: "Marsh", specialization: "Cardiology", license_number: "TS-1", email: "elena@clients.example" },
    }),
  );
  const patient = expected(await client.POST("/api/patients", { body: { first_name: "Maya", last_name: "Okafor" } }));
  expected(await client.POST("/api/mappings", { body: { doctor: doctor.id, patient: patient.id } }));

  const wish = { doctor: doctor.id, patient: patient.id, appointment_datetime: "2031-03-05T10:00:00Z", duration_minutes: 30 };
  const booked = await client.POST("/api/appointments", { body: wish, params: { header: { "Idempotency-Key": name } } });
  const appointment = expected(booked);
  assert.equal(appointment.status, "SCHEDULED");
  assert.ok(booked.response.headers.get("ETag")?.startsWith('"1.'));

  // A second request with the same key returns the same appointment.
  const replayed = expected(await client.POST("/api/appointments", { body: wish, params: { header: { "Idempotency-Key": name } } }));
  assert.equal(replayed.id, appointment.id);

  const { error, response } = await client.POST("/api/appointments", { body: wish });
  assert.equal(response.status, 409);
  assert.ok(error);
  assert.equal(error.type, "/problems/slot-taken");
  // Only refusals with alternatives have them, and the compiler enforces the check.
  assert.ok(error.next_slots);
  const slots: Slot[] = error.next_slots;
  assert.equal(slots.length, 3);
  const [first] = slots;
  assert.ok(first);
  // @ts-expect-error A slot has no such field: the types are those of the contract.
  first.begin;
  const second = expected(await client.POST("/api/appointments", { body: { ...wish, appointment_datetime: first.start } }));
  assert.equal(second.appointment_datetime, first.start);

  const cancelled = await client.DELETE("/api/appointments/{id}", { params: { path: { id: appointment.id } } });
  assert.equal(cancelled.response.status, 204);
  const listed = expected(await client.GET("/api/appointments", { params: { query: { status: "CANCELLED" } } }));
  assert.deepEqual(listed.map((row) => row.id), [appointment.id]);
});
