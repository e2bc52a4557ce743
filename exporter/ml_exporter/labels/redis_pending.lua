-- Does one operation on the predictions and labels of one model that wait for each other, as a
-- whole. It is repeated until its answer is counted, so the answer is kept and given again.
--
-- A prediction is found by the key of its id. Where several versions have predicted for an id, the
-- first has that place, and each other one a place of its own.
--
-- KEYS: pending, age, settling, early, early_age, totals, others, answers (of one replica)
-- ARGV: the operation's number; the least number that may be asked for again; the operation
local PENDING, AGE, SETTLING, EARLY, EARLY_AGE, TOTALS, OTHERS, ANSWERS = unpack(KEYS)
local number, least = ARGV[1], tonumber(ARGV[2])

local answered = redis.call('HGET', ANSWERS, number)
if answered then
    return answered
end
for _, old in ipairs(redis.call('HKEYS', ANSWERS)) do
    if tonumber(old) < least then
        redis.call('HDEL', ANSWERS, old)
    end
end

local op = cmsgpack.unpack(ARGV[3])
local function stored(total)
    return tonumber(redis.call('HGET', TOTALS, total) or 0)
end
local clock = math.max(stored('clock'), op.clock)
local unlabelled, size, early_size = stored('unlabelled'), stored('size'), stored('early_size')
local counts = {
    joined = 0, unmatched = 0, duplicate = 0, corrected = 0, -- labels
    added = 0, repeated = 0, expired = 0, evicted = 0, -- predictions
}
local outcomes = {}
local more = false

-- How many predictions of a version are at places of their own.
local others = {}
local versions = redis.call('HGETALL', OTHERS)
for at = 1, #versions, 2 do
    others[versions[at]] = tonumber(versions[at + 1])
end

local function change_others(version, by)
    others[version] = (others[version] or 0) + by
    if others[version] > 0 then
        redis.call('HSET', OTHERS, version, others[version])
    else
        redis.call('HDEL', OTHERS, version)
        others[version] = nil
    end
end

local function count(what)
    counts[what] = counts[what] + 1
end

local function read(from, key)
    local row = redis.call('HGET', from, key)
    return row and cmsgpack.unpack(row)
end

local function own_place(key, version)
    return redis.sha1hex(key .. version):sub(1, #key)
end

-- The predictions of an id, by their places.
local function predictions(key)
    local rows = { [key] = read(PENDING, key) or nil }
    for version in pairs(others) do
        local place = own_place(key, version)
        rows[place] = read(PENDING, place) or nil
    end
    return rows
end

local function write(to, key, row)
    redis.call('HSET', to, key, cmsgpack.pack(row))
end

-- Prediction rows: {version, predicted, at, label or false, labelled_at or false, settling, carried,
-- true if it is at a place of its own}
-- Rows of older versions end before what they don't know of.
local function size_of(row)
    return op.row_size + #row[1] + #row[2] + (row[4] and #row[4] or 0) + #(row[7] or '')
end

-- What goes along with a prediction is let go of when it is counted.
local function outcome(row, delay)
    local carried = row[7] or ''
    outcomes[#outcomes + 1] = { row[1], row[2], row[3], row[4], delay, carried }
    size = size - #carried
    row[7] = ''
end

local function join(place, row, label, at, delay)
    row[4], row[5], row[6] = label, at, op.settle > 0
    unlabelled = unlabelled - 1
    size = size + #label
    if row[6] then
        redis.call('ZADD', SETTLING, at, place)
    else
        outcome(row, delay)
    end
    write(PENDING, place, row)
end

local function let_go(place, row)
    redis.call('HDEL', PENDING, place)
    redis.call('ZREM', AGE, place)
    if row[8] then
        change_others(row[1], -1)
    end
    size = size - size_of(row)
    if not row[4] then
        unlabelled = unlabelled - 1
        count('expired')
    end
end

-- Early labels: {label, its own time or false, what it waits from}
local function let_go_early(key, first)
    redis.call('HDEL', EARLY, key)
    redis.call('ZREM', EARLY_AGE, key)
    early_size = early_size - op.row_size - #first[1]
end

local function predict(key, version, predicted, at, carried)
    local rows = predictions(key)
    local like
    for _, row in pairs(rows) do
        if row[1] == version then
            return count('repeated')
        end
        like = row[4] and row or like
    end
    count('added')
    clock = math.max(clock, at)
    local row = { version, predicted, at, false, false, false, carried or '' }
    local place = key
    if rows[key] then
        place, row[8] = own_place(key, version), true
        change_others(version, 1)
    end
    write(PENDING, place, row)
    redis.call('ZADD', AGE, at, place)
    unlabelled = unlabelled + 1
    size = size + size_of(row)
    local first = read(EARLY, key)
    if first then
        let_go_early(key, first)
        local came = math.max(first[2] or at, at)
        if came - at > op.wait then
            count('unmatched')
        else
            count('joined')
            join(place, row, first[1], came, came - at)
        end
    elseif like then
        -- Another version's has its label already, for an hour at most.
        local came, until_time = like[5], math.max(like[5], like[3]) + op.early_wait
        if at >= came - op.wait and at <= until_time then
            came = math.max(came, at)
            join(place, row, like[4], came, came - at)
        end
    end
end

local function evict()
    while redis.call('ZCARD', AGE) > op.most or size > op.most_bytes do
        local key = redis.call('ZRANGE', AGE, 0, 0)[1]
        if not key then
            return
        end
        local row = read(PENDING, key)
        if not row[4] then
            count('evicted')
        elseif row[6] then
            redis.call('ZREM', SETTLING, key)
            outcome(row, row[5] - row[3])
        end
        let_go(key, row)
    end
end

local function label_prediction(place, row, label, at, time)
    if not row[4] then
        if time and at - row[3] > op.wait then
            return 'unmatched'
        end
        local came = time or op.now
        join(place, row, label, at, came and came - row[3])
        return 'joined'
    end
    if row[4] == label then
        return 'duplicate'
    end
    if row[6] and at - row[5] <= op.settle then
        size = size + #label - #row[4]
        row[4] = label
        write(PENDING, place, row)
    end
    return 'corrected'
end

-- What becomes of a label is what became of it by some version's prediction, the first of these.
local results = { 'joined', 'corrected', 'duplicate', 'unmatched' }
local function label_predictions(rows, label, at, time)
    local became = {}
    for place, row in pairs(rows) do
        became[label_prediction(place, row, label, at, time)] = true
    end
    for _, result in ipairs(results) do
        if became[result] then
            return count(result)
        end
    end
end

local function label_early(key, label, at, time)
    local first = read(EARLY, key)
    if not first then
        local since = math.max(at, clock)
        write(EARLY, key, { label, time, since })
        redis.call('ZADD', EARLY_AGE, since, key)
        early_size = early_size + op.row_size + #label
    elseif first[1] == label then
        count('duplicate')
    else
        count('corrected')
        if op.settle > 0 and at - (first[2] or first[3]) <= op.settle then
            early_size = early_size + #label - #first[1]
            first[1] = label
            write(EARLY, key, first)
        end
    end
end

local function evict_early()
    while redis.call('ZCARD', EARLY_AGE) > op.most or early_size > op.most_bytes do
        local key = redis.call('ZRANGE', EARLY_AGE, 0, 0)[1]
        if not key then
            return
        end
        let_go_early(key, read(EARLY, key))
        count('unmatched')
    end
end

-- The oldest of a set, up to a time or, if it begins with "(", before it.
local function due(set, until_time, skip)
    local found = redis.call('ZRANGEBYSCORE', set, '-inf', until_time, 'LIMIT', skip, op.at_once)
    more = more or #found == op.at_once
    return found
end

local function pass_time()
    for _, key in ipairs(due(SETTLING, string.format('%.17g', clock - op.settle), 0)) do
        redis.call('ZREM', SETTLING, key)
        local row = read(PENDING, key)
        row[6] = false
        outcome(row, row[5] - row[3])
        write(PENDING, key, row)
    end
    for _, key in ipairs(due(EARLY_AGE, string.format('(%.17g', clock - op.early_wait), 0)) do
        let_go_early(key, read(EARLY, key))
        count('unmatched')
    end
    -- A label that still settles is counted first: those rows are passed over.
    local kept = 0
    repeat
        local keys = due(AGE, string.format('(%.17g', clock - op.wait), kept)
        for _, key in ipairs(keys) do
            local row = read(PENDING, key)
            if row[6] then
                kept = kept + 1
            else
                let_go(key, row)
            end
        end
    until kept == 0 or #keys < op.at_once
end

if op.kind == 'predictions' then
    for _, row in ipairs(op.rows) do
        predict(unpack(row))
    end
    evict()
elseif op.kind == 'labels' then
    for _, row in ipairs(op.rows) do
        local key, label, time = unpack(row)
        local at = time or clock
        local rows = predictions(key)
        if next(rows) then
            label_predictions(rows, label, at, time)
        else
            label_early(key, label, at, time)
        end
    end
    evict_early()
else
    pass_time()
end

redis.call(
    'HSET', TOTALS, 'clock', clock, 'unlabelled', unlabelled, 'size', size, 'early_size', early_size
)
local answer = cmsgpack.pack({
    counts = counts, outcomes = outcomes, clock = clock, waiting = unlabelled, more = more,
})
redis.call('HSET', ANSWERS, number, answer)
for _, key in ipairs(KEYS) do
    redis.call('EXPIRE', key, op.forget)
end
return answer
