-- One bare hash a request, one in a hundred of them known: wrk -s single_hash.lua URL -- HASHES AUTHORIZATION
-- HASHES is a file with one hash a line, already shuffled; every thread begins somewhere else.

local bodies, at, threads = {}, 0, 0

function setup(thread)
   thread:set("first", threads * 7919)
   threads = threads + 1
end

function init(args)
   for line in io.lines(args[1]) do
      bodies[#bodies + 1] = line
   end
   at = first % #bodies
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
   wrk.headers["Authorization"] = args[2]
end

function request()
   at = at % #bodies + 1
   return wrk.format(nil, nil, nil, bodies[at])
end

function done(summary, latency, requests)
   local errors = summary.errors
   print(string.format(
      "figures %d %d %d %d",
      summary.requests, summary.duration, latency:percentile(99),
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
