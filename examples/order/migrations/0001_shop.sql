-- What the shop of the example keeps of its own.

create schema shop;

create table shop.stock (
    item text primary key,
    pieces integer not null check (pieces >= 0)
);

insert into shop.stock values ('flour', 100), ('bran', 100), ('grits', 100);

create table shop.mails (
    order_id uuid not null,
    recipient text not null,
    subject text not null,
    body text not null,
    sent_at timestamptz not null default now()
);

create table shop.parcels (
    id uuid primary key,
    order_id uuid not null,
    item text not null,
    state text not null check (state in ('packed', 'delivered', 'returned'))
);

create table shop.sales (
    order_id uuid primary key,
    cents integer not null,
    sold_at timestamptz not null default now()
);

create table shop.reports (
    until timestamptz primary key,
    orders integer not null,
    cents bigint not null
);
