-- An excerpt of WooCommerce's tables (MariaDB; high-performance order storage, 8.2 and later), written from its public schema:
-- what after-sales touches, with the columns, types and indexes that they have there. A refund is an order of another type.
CREATE TABLE wp_wc_orders (
    id bigint(20) unsigned NOT NULL,
    status varchar(20) NULL,
    currency varchar(10) NULL,
    type varchar(20) NULL,
    tax_amount decimal(26, 8) NULL,
    total_amount decimal(26, 8) NULL,
    customer_id bigint(20) unsigned NULL,
    billing_email varchar(320) NULL,
    date_created_gmt datetime NULL,
    date_updated_gmt datetime NULL,
    parent_order_id bigint(20) unsigned NULL,
    payment_method varchar(100) NULL,
    payment_method_title text NULL,
    transaction_id varchar(100) NULL,
    customer_note text NULL,
    PRIMARY KEY (id),
    KEY status (status),
    KEY date_created (date_created_gmt),
    KEY type_status_date (type, status, date_created_gmt),
    KEY parent_order_id (parent_order_id),
    KEY date_updated (date_updated_gmt)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci;

CREATE TABLE wp_wc_order_addresses (
    id bigint(20) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
    order_id bigint(20) unsigned NOT NULL,
    address_type varchar(20) NULL,
    first_name text NULL,
    last_name text NULL,
    city text NULL,
    state text NULL,
    postcode text NULL,
    country text NULL,
    email varchar(320) NULL,
    KEY order_id (order_id),
    UNIQUE KEY address_type_order_id (address_type, order_id)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci;

CREATE TABLE wp_wc_order_operational_data (
    id bigint(20) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
    order_id bigint(20) unsigned NULL,
    created_via varchar(100) NULL,
    order_key varchar(100) NULL,
    date_paid_gmt datetime NULL,
    date_completed_gmt datetime NULL,
    UNIQUE KEY order_id (order_id),
    KEY order_key (order_key)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci;

CREATE TABLE wp_wc_orders_meta (
    id bigint(20) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
    order_id bigint(20) unsigned NULL,
    meta_key varchar(255) NULL,
    meta_value text NULL,
    KEY meta_key_value (meta_key(100), meta_value(82)),
    KEY order_id_meta_key_meta_value (order_id, meta_key(100), meta_value(82))
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci;
