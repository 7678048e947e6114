-- Inserts a row unless its handle is taken.
--
-- `parts`: the row before its times, the row after them, idle lifetime, absolute lifetime or 0, the age of the first token.
-- Returns 'made' and when, 'ended' and when if that was its end too, or 'taken'.
local function insert(key, due, errands, feed, handle, at, parts)
  local idle, absolute, age = tonumber(parts[3]), tonumber(parts[4]), tonumber(parts[5])
  local dies_at = absolute > 0 and math.min(at + absolute, NEVER) or NEVER
  local times = struct.pack('>I8I8I8I8I8', at, at, math.min(at + idle, NEVER), dies_at, math.max(at - age, 0))
  local row = parts[1] .. times .. parts[2]
  local present = redis.call('GET', key)
  if is_row(present) then
    -- The same creation, sent again because its answer was lost.
    if string.sub(present, 199, 230) == string.sub(row, 199, 230) then
      return { 'made', (struct.unpack('>I8', present, 3)) }
    end
    return { 'taken', at }
  end
  -- A marker: the session was ended before its row came here.
  if present then
    row = string.sub(row, 1, 115) .. string.sub(present, 2) .. string.sub(row, 158)
    publish_end(row, handle, at, errands, feed)
  end
  keep(key, row)
  redis.call('ZADD', due, decimal(expiry(row)), handle)
  return { present and 'ended' or 'made', at }
end
