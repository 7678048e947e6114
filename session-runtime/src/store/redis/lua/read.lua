-- KEYS: rows. Returns the time, and each row or nothing.
local answer = { now() }
for place, key in ipairs(KEYS) do
  answer[place + 1] = redis.call('GET', key)
end
return answer
