-- How many attempts a worker runs at once: whoever explains a queue has to know when its workers are full.
ALTER TABLE ledger.workers ADD COLUMN capacity integer NOT NULL DEFAULT 1 CHECK (capacity > 0);
