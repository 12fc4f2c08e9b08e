-- An excerpt of Spree's tables (PostgreSQL; versions 4.3 to 5.1), written from its public migrations: what after-sales
-- touches, with the columns, types and indexes that they have there. Rails keeps naive timestamps in UTC.
CREATE TABLE spree_stores (
    id bigserial PRIMARY KEY,
    name varchar,
    url varchar,
    mail_from_address varchar,
    customer_support_email varchar,
    default_currency varchar,
    default_locale varchar,
    code varchar,
    "default" boolean NOT NULL DEFAULT false,
    default_country_id bigint,
    created_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL
);
CREATE UNIQUE INDEX index_spree_stores_on_code ON spree_stores (code);

CREATE TABLE spree_countries (
    id bigserial PRIMARY KEY,
    iso_name varchar,
    iso varchar NOT NULL,
    iso3 varchar NOT NULL,
    name varchar,
    numcode integer,
    created_at timestamp,
    updated_at timestamp
);

CREATE TABLE spree_addresses (
    id bigserial PRIMARY KEY,
    firstname varchar,
    lastname varchar,
    address1 varchar,
    city varchar,
    zipcode varchar,
    state_id bigint,
    country_id bigint,
    user_id bigint,
    created_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL
);
CREATE INDEX index_spree_addresses_on_country_id ON spree_addresses (country_id);

CREATE TABLE spree_orders (
    id bigserial PRIMARY KEY,
    number varchar(32),
    total numeric(10, 2) NOT NULL DEFAULT 0.0,
    state varchar,
    user_id bigint,
    completed_at timestamp,
    bill_address_id bigint,
    ship_address_id bigint,
    shipment_state varchar,
    payment_state varchar,
    email varchar,
    created_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL,
    currency varchar,
    store_id bigint
);
CREATE UNIQUE INDEX index_spree_orders_on_number ON spree_orders (number);
CREATE INDEX index_spree_orders_on_store_id ON spree_orders (store_id);

CREATE TABLE spree_shipments (
    id bigserial PRIMARY KEY,
    tracking varchar,
    number varchar,
    shipped_at timestamp,
    order_id bigint,
    state varchar,
    created_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL
);
CREATE INDEX index_spree_shipments_on_order_id ON spree_shipments (order_id);

CREATE TABLE spree_return_authorization_reasons (
    id bigserial PRIMARY KEY,
    name varchar,
    active boolean DEFAULT true,
    created_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL
);

CREATE TABLE spree_return_authorizations (
    id bigserial PRIMARY KEY,
    number varchar,
    state varchar,
    order_id bigint,
    memo text,
    created_at timestamp,
    updated_at timestamp,
    stock_location_id bigint,
    return_authorization_reason_id bigint
);
CREATE UNIQUE INDEX index_spree_return_authorizations_on_number ON spree_return_authorizations (number);
CREATE INDEX index_spree_return_authorizations_on_order_id ON spree_return_authorizations (order_id);

CREATE TABLE spree_customer_returns (
    id bigserial PRIMARY KEY,
    number varchar,
    stock_location_id bigint,
    store_id bigint,
    created_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL
);

CREATE TABLE spree_return_items (
    id bigserial PRIMARY KEY,
    return_authorization_id bigint,
    customer_return_id bigint,
    reimbursement_id bigint,
    reception_status varchar,
    acceptance_status varchar,
    created_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL
);
CREATE INDEX index_spree_return_items_on_return_authorization_id ON spree_return_items (return_authorization_id);
CREATE INDEX index_return_items_on_customer_return_id ON spree_return_items (customer_return_id);

CREATE TABLE spree_reimbursements (
    id bigserial PRIMARY KEY,
    number varchar,
    reimbursement_status varchar,
    customer_return_id bigint,
    order_id bigint,
    total numeric(10, 2),
    created_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL
);
CREATE INDEX index_spree_reimbursements_on_order_id ON spree_reimbursements (order_id);

CREATE TABLE spree_refunds (
    id bigserial PRIMARY KEY,
    payment_id bigint,
    amount numeric(10, 2) NOT NULL DEFAULT 0.0,
    transaction_id varchar,
    refund_reason_id bigint,
    reimbursement_id bigint,
    created_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL
);
CREATE INDEX index_spree_refunds_on_reimbursement_id ON spree_refunds (reimbursement_id);
