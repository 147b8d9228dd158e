-- Decides all tiers of one call together. window.rs explains the arithmetic and does the same sums.
-- KEYS: one per tier. ARGV: per tier max, window in ms, and for GCRA burst and interval in µs (0 for a log).
-- Answers {1, tier, remaining} or {0, tier, retry after in ms}; tiers count from 1.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function check_log(key, max, window)
  local log = redis.call('LRANGE', key, 0, -1)
  local live = 0
  for _, at in ipairs(log) do
    if now - at <= window then live = live + 1 end
  end
  if live >= max then
    local blocking = max > 0 and log[#log - max + 1] or now
    return nil, math.max(blocking + window + 1 - now, 1)
  end
  return max - live - 1
end

local function check_gcra(key, burst, interval)
  local arrival = tonumber(redis.call('GET', key) or 0)
  local ahead = math.max(arrival - now * 1000, 0)
  local tolerance = (burst - 1) * interval
  if ahead > tolerance then
    return nil, math.ceil((ahead - tolerance) / 1000)
  end
  return math.floor((tolerance - ahead) / interval), now * 1000 + ahead + interval
end

local least, least_tier = math.huge, 0
local longest, longest_tier = 0, 0
local arrivals = {}
for tier, key in ipairs(KEYS) do
  local at = (tier - 1) * 4
  local max, window = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local burst, interval = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local remaining, second
  if interval == 0 then
    remaining, second = check_log(key, max, window)
  else
    remaining, second = check_gcra(key, burst, interval)
  end
  if remaining == nil then
    if second > longest then longest, longest_tier = second, tier end
  else
    arrivals[tier] = second
    if remaining < least then least, least_tier = remaining, tier end
  end
end
if longest_tier > 0 then return {0, longest_tier, longest} end

for tier, key in ipairs(KEYS) do
  local at = (tier - 1) * 4
  if tonumber(ARGV[at + 4]) == 0 then
    redis.call('RPUSH', key, string.format('%.0f', now))
    redis.call('LTRIM', key, -tonumber(ARGV[at + 1]), -1)
    redis.call('PEXPIRE', key, ARGV[at + 2] + 1)
  else
    local life = math.floor(arrivals[tier] / 1000) + 1 - now
    redis.call('SET', key, string.format('%.0f', arrivals[tier]), 'PX', string.format('%.0f', life))
  end
end
return {1, least_tier, least}
