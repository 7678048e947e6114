-- KEYS: rows. Returns the time, and each row or nothing.
local answer = { now() }
for place, key in ipairs(KEYS) do
  local row = redis.call('GET', key)
  if not row then
    -- Changes nothing, and fails on a server that may not write: what such a one lacks, another may have.
    redis.call('DEL', key)
  end
  answer[place + 1] = row
end
return answer
