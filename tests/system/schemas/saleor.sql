-- An excerpt of Saleor's tables (PostgreSQL; 3.20 and later), written from its public models and migrations: what after-sales
-- touches, with the columns, types and indexes that they have there. An order's key is a UUID, the others are numbers.
CREATE TABLE account_address (
    id serial PRIMARY KEY,
    first_name varchar(256) NOT NULL,
    last_name varchar(256) NOT NULL,
    city varchar(256) NOT NULL DEFAULT '',
    postal_code varchar(20) NOT NULL DEFAULT '',
    country varchar(2) NOT NULL,
    country_area varchar(128) NOT NULL DEFAULT ''
);

CREATE TABLE account_user (
    id serial PRIMARY KEY,
    email varchar(254) NOT NULL UNIQUE,
    first_name varchar(256) NOT NULL DEFAULT '',
    last_name varchar(256) NOT NULL DEFAULT '',
    is_staff boolean NOT NULL,
    language_code varchar(35) NOT NULL,
    uuid uuid NOT NULL UNIQUE
);

CREATE TABLE order_order (
    id uuid PRIMARY KEY,
    number integer NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    status varchar(32) NOT NULL,
    charge_status varchar(32) NOT NULL DEFAULT 'none',
    user_id integer REFERENCES account_user (id) DEFERRABLE INITIALLY DEFERRED,
    language_code varchar(35) NOT NULL,
    billing_address_id integer REFERENCES account_address (id) DEFERRABLE INITIALLY DEFERRED,
    shipping_address_id integer REFERENCES account_address (id) DEFERRABLE INITIALLY DEFERRED,
    user_email varchar(254) NOT NULL,
    currency varchar(3) NOT NULL,
    total_gross_amount numeric(20, 3) NOT NULL DEFAULT 0,
    metadata jsonb NOT NULL DEFAULT '{}',
    private_metadata jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX order_meta_idx ON order_order USING gin (metadata);

CREATE TABLE order_fulfillment (
    id serial PRIMARY KEY,
    fulfillment_order integer NOT NULL,
    created_at timestamptz NOT NULL,
    status varchar(32) NOT NULL,
    tracking_number varchar(255) NOT NULL DEFAULT '',
    order_id uuid NOT NULL REFERENCES order_order (id) DEFERRABLE INITIALLY DEFERRED,
    metadata jsonb NOT NULL DEFAULT '{}',
    private_metadata jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX order_fulfillment_order_id_idx ON order_fulfillment (order_id);
CREATE INDEX fulfillment_status_idx ON order_fulfillment (status);

CREATE TABLE order_orderevent (
    id serial PRIMARY KEY,
    date timestamptz NOT NULL,
    type varchar(255) NOT NULL,
    parameters jsonb NOT NULL DEFAULT '{}',
    order_id uuid NOT NULL REFERENCES order_order (id) DEFERRABLE INITIALLY DEFERRED,
    user_id integer REFERENCES account_user (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX order_orderevent_order_id_idx ON order_orderevent (order_id);

CREATE TABLE order_ordergrantedrefund (
    id serial PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    amount_value numeric(20, 3) NOT NULL DEFAULT 0,
    currency varchar(3) NOT NULL,
    reason text NOT NULL DEFAULT '',
    status varchar(128) NOT NULL DEFAULT 'none',
    order_id uuid NOT NULL REFERENCES order_order (id) DEFERRABLE INITIALLY DEFERRED,
    user_id integer REFERENCES account_user (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX order_ordergrantedrefund_order_id_idx ON order_ordergrantedrefund (order_id);
