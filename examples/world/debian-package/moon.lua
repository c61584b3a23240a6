#!/usr/bin/lua5.4
for phase in io.lines("/etc/moon.conf") do
  print(_VERSION .. ": the moon is " .. phase)
end
