-- What the scripts share. A row is a string; where its parts stand is told in `codec.rs`.

local NEVER = 9007199254740991
local DAY = 24 * 60 * 60 * 1000
local LIVE = string.rep('\0', 8)

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua writes large numbers with an exponent, which Redis does not read.
local function decimal(number)
  return string.format('%.0f', number)
end

local function extend(list, more)
  for _, item in ipairs(more) do
    list[#list + 1] = item
  end
  return list
end

-- A list may be longer than what `unpack` has room for.
local function slice(list, first, last)
  local part = {}
  for place = first, last or #list do
    part[#part + 1] = list[place]
  end
  return part
end

local function is_row(bytes)
  return bytes and string.byte(bytes, 1) == 1
end

local function expiry(row)
  local idle, absolute = struct.unpack('>I8I8', row, 19)
  return math.min(idle, absolute)
end

-- Should nobody be left to purge it, the row goes by itself, a day after it expired.
local function keep(key, row)
  local dies_at = expiry(row)
  if dies_at < NEVER then
    redis.call('SET', key, row, 'PXAT', decimal(dies_at + DAY))
  else
    redis.call('SET', key, row)
  end
end

local function has_ended(row)
  return string.sub(row, 116, 123) ~= LIVE
end

local function user_of(row)
  local length = struct.unpack('>I4', row, 231)
  return string.sub(row, 235, 234 + length)
end

-- Tells of a row's end: in the feed itself where it lies in this slot, else in an errand to take it there.
local function publish_end(row, handle, at, errands, feed)
  local told = '\0' .. string.sub(row, 116, 157) .. string.sub(row, 183, 198) .. user_of(row)
  if feed then
    redis.call('XADD', feed, '*', 'r', told)
  else
    redis.call('HSET', errands, 'end:' .. handle, struct.pack('>I8', at) .. told)
  end
end
