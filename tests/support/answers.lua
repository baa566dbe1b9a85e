-- For wrk, the load over TLS: pauses for 8 ms on average between requests, and compares each response with the documents given as
-- arguments. Prints one line, "requests=… seconds=… wrong=… …", with the errors and the latencies in microseconds.

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init(arguments)
    wrong, first = 0, ""
    documents = {}
    for _, document in ipairs(arguments) do
        documents[document .. "\n"] = true
    end
end

function delay()
    return math.random(0, 16)
end

function response(status, headers, body)
    if status ~= 200 or not documents[body] then
        wrong = wrong + 1
        first = status .. " " .. body
    end
end

function done(summary, latency, requests)
    local all, example = 0, ""
    for _, thread in ipairs(threads) do
        all = all + thread:get("wrong")
        example = example .. thread:get("first")
    end
    local errors = summary.errors
    print(string.format("requests=%d seconds=%.1f wrong=%d connect=%d read=%d write=%d timeout=%d p50=%d p99=%d p999=%d max=%d",
        summary.requests, summary.duration / 1000000, all, errors.connect, errors.read, errors.write, errors.timeout,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
    if all > 0 then
        print("example: " .. example)
    end
end
