-- name: outlook
-- Which chores of the scheduler have something to do: a look into an index for each, one statement for all. ORDER BY:
-- else the planner believes that it will soon meet a row by walking the table, and at rest there is none.
SELECT EXISTS (SELECT FROM (SELECT release_at
                              FROM projections.task_status
                             WHERE status = 'PENDING' AND hold IS NULL AND release_at <= statement_timestamp()
                             ORDER BY release_at
                             LIMIT 1) AS due) AS release,
       EXISTS (SELECT FROM (SELECT queue
                              FROM projections.task_status
                             WHERE hold IN ('paused', 'limit')
                             ORDER BY queue
                             LIMIT 1) AS held) AS admit,
       EXISTS (SELECT FROM ledger.schedules WHERE next_fire_at <= statement_timestamp()) AS schedules,
       EXISTS (SELECT FROM ledger.bulk_acts WHERE state = 'running' OR under_way <> '{}') AS bulk_acts,
       EXISTS (SELECT FROM ledger.erasure_orders WHERE state = 'running') AS erase,
       EXISTS (SELECT FROM ledger.webhooks) AS webhooks,
       EXISTS (SELECT FROM (SELECT look_again_at
                              FROM ledger.follow_up_times
                             WHERE look_again_at <= statement_timestamp()
                             ORDER BY look_again_at
                             LIMIT 1) AS due)
           OR ledger.safe_position() > coalesce((SELECT position FROM ledger.checkpoints WHERE name = 'follow_ups'), 0)
           AS follow_ups;
