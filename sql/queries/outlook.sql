-- name: outlook
-- Which chores of the scheduler have something to do: a look into an index for each, one statement for all.
SELECT EXISTS (SELECT FROM projections.task_status
                WHERE status = 'PENDING' AND hold IS NULL AND release_at <= statement_timestamp()) AS release,
       EXISTS (SELECT FROM projections.task_status WHERE hold IN ('paused', 'limit')) AS admit,
       EXISTS (SELECT FROM ledger.schedules WHERE next_fire_at <= statement_timestamp()) AS schedules,
       EXISTS (SELECT FROM ledger.bulk_acts WHERE state = 'running' OR under_way <> '{}') AS bulk_acts,
       EXISTS (SELECT FROM ledger.erasure_orders WHERE state = 'running') AS erase,
       EXISTS (SELECT FROM ledger.webhooks) AS webhooks,
       EXISTS (SELECT FROM ledger.follow_up_times WHERE look_again_at <= statement_timestamp())
           OR ledger.safe_position() > coalesce((SELECT position FROM ledger.checkpoints WHERE name = 'follow_ups'), 0)
           AS follow_ups;
