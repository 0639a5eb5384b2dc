-- Lists and looks that read no more than they show.

-- Calls that wait for people: how many of one user, and all of them for who decides.
CREATE INDEX approvals_waiting ON approvals (tenant, owner, expires_at, created_at) WHERE state = 'open';
CREATE INDEX approvals_by ON approvals (tenant, owner, created_at);
CREATE INDEX approvals_at ON approvals (tenant, created_at);
CREATE INDEX approvals_stand ON approvals (id, state, expires_at);

-- Turns that somebody may claim, without a look at those that wait.
CREATE INDEX turns_running ON turns (node, node_fence, updated_at) WHERE ended_at IS NULL AND state = 'running';
CREATE INDEX turns_waiting ON turns (waiting_for, updated_at, agent) WHERE ended_at IS NULL AND state = 'waiting';
CREATE INDEX turns_stopped ON turns (updated_at) WHERE ended_at IS NULL AND state = 'waiting' AND failure IS NOT NULL;

-- Names that no token can have: nobody is refused by them.
DELETE FROM revocations WHERE LENGTH(user_id) > 256 OR LENGTH(issuer) > 4096;

-- What was decided about one person.
CREATE INDEX decisions_of ON decisions (owner, at, id);
