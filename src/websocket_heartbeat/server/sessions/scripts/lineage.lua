-- What changes with every restart and every promotion: after it, acknowledged writes may be forgotten.
local function lineage()
    local server, replication = redis.call('INFO', 'server'), redis.call('INFO', 'replication')
    return string.match(server, 'run_id:(%w+)') .. ' ' .. string.match(replication, 'master_replid:(%w+)')
end
