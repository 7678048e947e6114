-- KEYS: the feed. ARGV: the entry to go on after, how many at most.
-- Returns the time, the number of the last entry there ever was, and the entries; '0-0' and none where the feed has gone on past
-- the entry without it: that came from a server which this one has taken the place of.
local last = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for place = 1, #info, 2 do
    if info[place] == 'last-generated-id' then
      last = info[place + 1]
    end
  end
end
local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
if #entries > 0 then
  -- The purge trims from the beginning, so whatever comes before a trimmed entry is gone too.
  local before = redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', 1)
  if #before > 0 and before[1][1] ~= ARGV[1] then
    return { now(), '0-0' }
  end
end
local answer = { now(), last }
for _, entry in ipairs(entries) do
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = entry[2][2]
end
return answer
