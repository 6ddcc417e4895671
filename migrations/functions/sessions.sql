-- The name of a person: the one they had before, else p_name, or with a number behind it where that is another's. Whoever
-- has a live token of a name has the name too, before ever signing in.
create or replace function name_person(p_subject text, p_name text) returns text language plpgsql as $$
declare
  person text := case when p_subject like 'token:%' then 'token named ' || p_name else p_subject end;
  known text;
  candidate text := p_name;
begin
  for n in 2 .. 1000 loop
    select d.name into known from desk_people d where d.subject = person;
    if found then
      return known;
    end if;
    insert into desk_people (name, subject)
    select candidate, person
    where person = 'token named ' || candidate
      or not exists (select from tokens t where t.name = candidate and t.revoked_at is null)
    on conflict do nothing;
    if found then
      return candidate;
    end if;
    candidate := p_name || ' (' || n || ')';
  end loop;
  raise exception 'a thousand people are called %', p_name;
end $$;

-- Signs somebody in, writes it down, and forgets sessions that ended more than a month ago. Returns when the session ends at
-- the latest, and what the person is called.
create or replace function start_session(
  p_id text, p_hash bytea, p_subject text, p_name text, p_roles text[], p_lasts_s double precision,
  out ends timestamptz, out person text
) language plpgsql as $$
begin
  person := name_person(p_subject, p_name);
  delete from desk_sessions where ends_at < now() - interval '30 days';
  insert into desk_sessions (id, hash, subject, name, roles, ends_at)
  values (p_id, p_hash, p_subject, person, p_roles, now() + make_interval(secs => p_lasts_s))
  returning ends_at into ends;
  insert into audit_log (who, did, about)
  values (person, 'signed-in', jsonb_build_object('session', p_id, 'by', p_subject, 'roles', p_roles));
end $$;

-- Ends a session, and writes down who did. Returns whether it was there and had not ended.
create or replace function end_session(p_id text, p_by text, p_did text) returns boolean language plpgsql as $$
declare whose text;
begin
  update desk_sessions set ended_at = now() where id = p_id and ended_at is null and ends_at > now()
  returning name into whose;
  if not found then
    return false;
  end if;
  insert into audit_log (who, did, about) values (p_by, p_did, jsonb_build_object('session', p_id, 'of', whose));
  return true;
end $$;
