-- KEYS: the due list, the feed if it lies in this slot. ARGV: what the rows' keys begin with, the retention, how many at most.
-- Returns how many were looked at, and of each that was deleted its handle, its user, and whether it had expired.
local at = now()
local retention = tonumber(ARGV[2])
local handles = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', decimal(at), 'LIMIT', 0, ARGV[3])
local answer = { #handles }
for _, handle in ipairs(handles) do
  local key = ARGV[1] .. handle
  local row = redis.call('GET', key)
  -- Without memory, a script may only put something in once it has taken something out.
  redis.call('ZREM', KEYS[1], handle)
  if is_row(row) then
    local ended_at = struct.unpack('>I8', row, 116) - 1
    local dies_at = has_ended(row) and ended_at + retention or expiry(row)
    if dies_at <= at then
      redis.call('DEL', key)
      answer[#answer + 1] = handle
      answer[#answer + 1] = user_of(row)
      answer[#answer + 1] = has_ended(row) and 0 or 1
    else
      redis.call('ZADD', KEYS[1], decimal(dies_at), handle)
    end
  end
end
if KEYS[2] and at > retention then
  redis.call('XTRIM', KEYS[2], 'MINID', decimal(at - retention))
end
return answer
