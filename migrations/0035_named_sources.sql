-- Up Migration

-- The model.json of restaurant-5 names its sources now, and is the same model: workers would refuse another file than was registered.
update models set sha256 = '949255ac7c43baf5f3b51a325adeaac58e696fc03b7e60933426b200f2b0390c'
where id = 'restaurant-5' and sha256 = '3329ddfb0b635f7d30b1a89c568658569faeb6d134dd13e0d280d3df8aa21d7b';
