-- Requests the same path repeatedly. Argument: the caller's token.

function init(args)
  wrk.headers["Authorization"] = "Bearer " .. args[1]
end

function done(summary, latency)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  print(string.format('{"requests": %d, "seconds": %f, "p50": %d, "p99": %d, "refused": %d, "conflicts": 0, "errors": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), summary.errors.status, errors))
end
