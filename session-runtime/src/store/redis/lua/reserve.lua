-- Gives a new session its time and its place among its user's, if there is room.
--
-- `room`: max or 0, 'evict' or 'refuse', the handle that doesn't count or '', whether the user's other sessions were looked
-- at, and of each that was its handle and when it expires, or 0 if it is dead.
-- Returns what became of it, the session's time, and handles: to look at if 'unsure', to evict if 'reserved'.
local function reserve(user, mark, errands, handle, room)
  local place = redis.call('ZSCORE', user, handle)
  if place then
    return { 'taken', math.floor(tonumber(place) / 1000) }
  end
  local at = math.max(now(), tonumber(redis.call('GET', mark) or 0) + 1)
  local max, victims = tonumber(room[1]), {}
  if max > 0 then
    local expiries = {}
    for place = 5, #room, 2 do
      expiries[room[place]] = tonumber(room[place + 1])
      if expiries[room[place]] == 0 then
        redis.call('ZREM', user, room[place])
      end
    end
    local live = {}
    for _, other in ipairs(redis.call('ZRANGE', user, 0, -1)) do
      local is_live = (expiries[other] or NEVER) > at
      if is_live and other ~= room[3] and redis.call('HEXISTS', errands, 'evict:' .. other) == 0 then
        live[#live + 1] = other
      end
    end
    local surplus = #live + 1 - max
    if surplus > 0 and room[4] == '0' then
      return extend({ 'unsure', at }, live)
    elseif surplus > 0 and room[2] == 'refuse' then
      return { 'full', at }
    end
    for place = 1, surplus do
      victims[place] = live[place]
      redis.call('HSET', errands, 'evict:' .. live[place], struct.pack('>I8', at))
    end
  end
  -- In the order in which they were made, even within a millisecond.
  local last = redis.call('ZRANGE', user, -1, -1, 'WITHSCORES')
  local score = math.max(at * 1000, tonumber(last[2] or 0) + 1)
  redis.call('ZADD', user, decimal(score), handle)
  return extend({ 'reserved', at }, victims)
end
