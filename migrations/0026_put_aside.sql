-- Up Migration

-- What bad_messages holds since notifications of stores that come over HTTP are put aside as messages of queues are.

comment on table bad_messages is 'Messages of queues and notifications of stores that could not be taken, with why; maitred events lists and replays them.';
comment on column bad_messages.source is 'sqs:QUEUE, or http: and the last part of the address, such as http:s3';
comment on column bad_messages.message_id is 'As the source names it, or where it names none the SHA-256 of the body: one that is delivered twice is here once';
comment on column bad_messages.sent_at is 'When it was sent, as its source says; null where it does not';
