-- The requests of wrk and its summary. Arguments: the operation; the file of tokens; the numbers of doctors and
-- patients per clinic; the start of the free time (seconds); the number of the node that this wrk calls (from 0); the
-- number of nodes that are called at the same time; the start of the first booked day (seconds). Each line of the file
-- has a clinic's token, its first doctor, its first patient, the token of a staff user and the token of its first
-- doctor.

local threads = 0
function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

local operation, clinics, doctors, patients, from, node, nodes, booked_from, n, step
local headers = {}
statuses = {}

function init(args)
  operation = args[1]
  clinics, doctors, patients, from = {}, tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  for line in io.lines(args[2]) do
    local token, doctor, patient, staff, login = line:match("(%S+) (%d+) (%d+) (%S+) (%S+)")
    clinics[#clinics + 1] = { doctor = tonumber(doctor), patient = tonumber(patient) }
    if operation == "staff" or operation == "own" then
      token = staff
    elseif operation == "assigned" then
      token = login
    end
    headers[#clinics] = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
  end
  node, nodes, booked_from = tonumber(args[6]), tonumber(args[7]), tonumber(args[8])
  -- There are two threads, of one wrk or of two.
  n, step = id, 2 / nodes
  if operation == "storm" then
    -- All of these answers must be 409.
    response = function(status) statuses[status] = (statuses[status] or 0) + 1 end
  end
end

-- Maps every number below a prime to another one, in an order without a pattern.
local function shuffled(k, prime)
  return (k * 48271 + 11) % prime
end

-- The n-th position of this node. Each node books every doctor, and has every second booking of a doctor, so that no
-- two nodes have the same one. The second node takes the doctors in reverse order, so that the two meet.
local function own(n)
  if nodes == 1 then
    return n
  end
  local all = #clinics * doctors
  local nth, k = n % all, math.floor(n / all)
  if node % 2 == 1 then
    nth = all - 1 - nth
  end
  return (k * nodes + node) * all + nth
end

local function booking(clinic, doctor, patient, at, minutes)
  local body = string.format('{"doctor":%d,"patient":%d,"appointment_datetime":"%s","duration_minutes":%d}',
    clinics[clinic].doctor + doctor, clinics[clinic].patient + patient, os.date("!%Y-%m-%dT%H:%M:%SZ", at), minutes)
  return wrk.format("POST", "/api/appointments", headers[clinic], body)
end

-- The s-th time of consecutive days of ten working hours.
local function within_hours(s, minutes)
  local a_day = 600 / minutes
  return from + math.floor(s / a_day) * 86400 + 8 * 3600 + s % a_day * minutes * 60
end

-- A clinic with one of its patients, and with one of its doctors.
local function some_patient(n)
  local clinic = n % #clinics + 1
  return clinic, clinics[clinic].patient + shuffled(n, 9973) % patients
end

local function some_doctor(n)
  local clinic = n % #clinics + 1
  return clinic, clinics[clinic].doctor + shuffled(n, 9973) % doctors
end

local function days(first, count)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", first), os.date("!%Y-%m-%dT%H:%M:%SZ", first + count * 86400)
end

local requests = {
  -- The n-th booking is the k-th one of its doctor, at a time of its own.
  free = function(n)
    local all = #clinics * doctors
    local nth, k = n % all, math.floor(n / all)
    local clinic = nth % #clinics + 1
    return booking(clinic, math.floor(nth / #clinics), math.floor(n / #clinics) % patients, 
      within_hours(shuffled(k, 20011), 30), 30)
  end,
  hot = function(n)
    local k = math.floor(n / 4)
    return booking(1, n % 4, n % patients, within_hours(shuffled(k, 100003), 5), 5)
  end,
  storm = function(n)
    return booking(1, 0, n % patients, within_hours(n % 8, 30), 30)
  end,
  patient = function(n)
    local clinic, patient = some_patient(n)
    return wrk.format("GET", "/api/patients/" .. patient, headers[clinic])
  end,
  patients = function(n)
    return wrk.format("GET", "/api/patients?limit=50", headers[n % #clinics + 1])
  end,
  own = function(n)
    return wrk.format("GET", "/api/appointments?limit=50", headers[n % #clinics + 1])
  end,
  day = function(n)
    local clinic, doctor = some_doctor(n)
    local path = string.format("/api/appointments?doctor=%d&from=%s&to=%s", doctor, days(booked_from, 1))
    return wrk.format("GET", path, headers[clinic])
  end,
  history = function(n)
    local clinic, patient = some_patient(n)
    return wrk.format("GET", "/api/appointments?patient=" .. patient, headers[clinic])
  end,
  mappings = function(n)
    local clinic, patient = some_patient(n)
    return wrk.format("GET", "/api/mappings?patient=" .. patient, headers[clinic])
  end,
  slots = function(n)
    local clinic, doctor = some_doctor(n)
    local path = string.format("/api/doctors/%d/slots?from=%s&to=%s", doctor, days(from, 7))
    return wrk.format("GET", path, headers[clinic])
  end,
}

-- These differ only in the caller.
requests.staff, requests.assigned = requests.patients, requests.patients

-- Reads repeat, so each request is built once: Lua's work is not to be measured.
local written = {}
function request()
  local at = n
  n = n + step
  if operation == "free" or operation == "hot" then
    return requests[operation](own(at))
  end
  at = at % 20000
  if not written[at] then
    written[at] = requests[operation](own(at))
  end
  return written[at]
end

local all = {}
local setup_one = setup
function setup(thread)
  setup_one(thread)
  all[#all + 1] = thread
end

function done(summary, latency)
  local conflicts = 0
  for _, thread in ipairs(all) do
    conflicts = conflicts + ((thread:get("statuses") or {})[409] or 0)
  end
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  print(string.format('{"requests": %d, "seconds": %f, "p50": %d, "p99": %d, "refused": %d, "conflicts": %d, "errors": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), summary.errors.status,
    conflicts, errors))
end
