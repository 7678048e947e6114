-- Carries out rule 5 of the rotation where nothing else comes with it, and leaves every other case as it is. It is what servers
-- do most, so it goes without the prelude, whose functions would be made anew each time.
--
-- KEYS: the row. ARGV: generation, parent, floor, nonce or '', fingerprint.
-- Returns the time and the row as it was; also what stands at bytes 19 to 115 of it now, if it was rotated.
local NEVER, DAY = 9007199254740991, 86400000
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
local row = redis.call('GET', KEYS[1])
if not row then
  -- Changes nothing, and fails on a server that may not write: what such a one lacks, another may have.
  redis.call('DEL', KEYS[1])
end
-- What is none, or was cut short, is for the store to say.
if not row or string.byte(row) ~= 1 or #row < 234 then
  return { at, row }
end
local idle, absolute, rotated, _, generation, parent, _, since = struct.unpack('>I8I8I8I8I4I4I4I4', row, 19)
local ended = struct.unpack('>I8', row, 116)
local lifetime, replaces = struct.unpack('>I8B', row, 158)
local nonce, is_bound = ARGV[4], since > 0

local is_live = ended == 0 and at < idle and at < absolute
local is_current = generation == tonumber(ARGV[1]) and parent == tonumber(ARGV[2])
local is_due = at > rotated + tonumber(ARGV[3]) and generation < 4294967295
local lacks_nonce = is_bound and generation >= since and nonce == ''
if not (is_live and is_current and is_due) or lacks_nonce or replaces ~= 0 then
  return { at, row }
end

local binding
if nonce == '' then
  binding = string.rep('\0', 37)
elseif is_bound then
  binding = struct.pack('>I4', since) .. nonce .. '\1' .. string.sub(row, 67, 82)
else
  binding = struct.pack('>I4', generation + 1) .. nonce .. string.rep('\0', 17)
end
idle = math.min(at + lifetime, NEVER)
local chain = struct.pack('>I8I8I8I8I4I4I4', idle, absolute, at, 0, generation + 1, generation, parent)
local turned = chain .. binding .. ARGV[5]
local whole = string.sub(row, 1, 18) .. turned .. string.sub(row, 116)
local dies_at = math.min(idle, absolute)
-- Should nobody be left to purge it, the row goes by itself, a day after it expired.
if dies_at < NEVER then
  redis.call('SET', KEYS[1], whole, 'PXAT', string.format('%.0f', dies_at + DAY))
else
  redis.call('SET', KEYS[1], whole)
end
return { at, row, turned }
