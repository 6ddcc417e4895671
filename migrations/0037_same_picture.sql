-- Up Migration

-- Who shows a page knows by the digest which photos are the same picture, uploaded twice. It is what bytes_of says, which who reads the view has no
-- right to call: it reads verdicts.
create or replace view public_photos as
  select p.id as photo_id, p.listing, p.category, p.store, p.bucket, p.key, p.version, p.uploader, p.decided_at as shown_since, p.registered_at,
    (select d.digest
     from verdicts v
     cross join lateral (
       select coalesce(v.digest, (
         select o.digest from verdicts o
         where v.batch like 'same-%' and o.photo_id = substr(v.batch, 6)::bigint and o.digest is not null
           and o.decided_by = v.decided_by and (o.scores, o.human) is not distinct from (v.scores, v.human)
         order by o.id desc limit 1)) as digest
     ) d
     where v.photo_id = p.id and v.decided_by like 'model:%' and v.scores is not null
       and v.batch is not null and v.batch not like 'policy-%' and v.batch not like 'rollback-%'
       and (d.digest is not null or p.version = '')
       and (p.version <> '' or p.revived_at is null or v.decided_at >= p.revived_at)
     order by p.version <> '' and v.rendition is true, v.id desc limit 1) as digest
  from photos p where p.state = 'shown' and p.superseded_at is null;
comment on column public_photos.digest is 'SHA-256 of the bytes that were judged: the same picture uploaded twice has the same one; null where nobody knows';
