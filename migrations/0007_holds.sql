-- How much of a budget each node holds back for the requests that it has in hand: what a node that has died still held is
-- given back by whoever finds that it is dead.
CREATE TABLE budget_holds (
    node    TEXT   NOT NULL,
    tenant  TEXT   NOT NULL,
    user_id TEXT   NOT NULL,                    -- as in `budgets`
    period  TEXT   NOT NULL,
    unit    TEXT   NOT NULL,
    amount  BIGINT NOT NULL,
    PRIMARY KEY (node, tenant, user_id, period, unit)
);
