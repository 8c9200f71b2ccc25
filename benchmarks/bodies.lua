-- Whole requests, one after another: wrk -s bodies.lua URL -- FOLDER COUNT
-- FOLDER holds COUNT files, named 0, 1, ..., with a request each as it goes over the wire.

local requests, turn = {}, 0

function init(args)
   for number = 0, tonumber(args[2]) - 1 do
      local file = io.open(args[1] .. "/" .. number, "rb")
      requests[#requests + 1] = file:read("*a")
      file:close()
   end
end

function request()
   turn = turn % #requests + 1
   return requests[turn]
end

function done(summary, latency, requests)
   local errors = summary.errors
   print(string.format(
      "figures %d %d %d %d",
      summary.requests, summary.duration, latency:percentile(99),
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
