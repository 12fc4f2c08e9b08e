#!/bin/sh
# One case from the order to the refund, and one dispute that the seller lets lie. Only the database's own shell is needed.
# case.sh FIRST_ID ALMOST_DUE SHELL [ARGUMENTS]: says what the deadlines became, a line each.
# ALMOST_DUE is an SQL expression: five days ago, and two seconds. The last argument of SHELL is followed by a statement.
set -eu
order=$1 other=$(($1 + 1)) dispute=$(($1 + 2)) silent=$(($1 + 3)) refund=$(($1 + 4)) almost_due=$2
shift 2
say() { "$@"; }

becomes() { # TABLE ID KIND STATE SHELL…
    table=$1 id=$2 kind=$3 state=$4
    shift 4
    tries=0
    until [ "$(say "$@" "SELECT state FROM clock_due WHERE table_name = '$table' AND subject_id = '$id' AND kind = '$kind'
                         ORDER BY starts_at DESC LIMIT 1")" = "$state" ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "$kind of $table $id did not become $state" >&2; exit 1; }
        sleep 0.1
    done
    echo "$kind $state"
}

say "$@" "INSERT INTO sellers (id, name, email, time_zone) VALUES ($order, 'Ana', 'ana@shop.example', 'Europe/Lisbon')"
say "$@" "INSERT INTO buyers (id, name, email, time_zone) VALUES ($order, 'Bea', 'bea@home.example', 'Europe/Berlin')"
say "$@" "INSERT INTO orders (id, buyer_id, seller_id, country) VALUES ($order, $order, $order, 'DE'), ($other, $order, $order, 'DE')"
say "$@" "UPDATE orders SET delivered_at = CURRENT_TIMESTAMP WHERE id = $order"
becomes orders "$order" return_window running "$@"
say "$@" "BEGIN;
          UPDATE orders SET return_status = 'requested' WHERE id = $order AND return_status = 'open';
          INSERT INTO disputes (id, order_id, reason) VALUES ($dispute, $order, 'Too small');
          COMMIT;"
becomes disputes "$dispute" seller_response running "$@"
becomes orders "$order" return_window met "$@"
say "$@" "UPDATE disputes SET status = 'accepted', accepted_at = CURRENT_TIMESTAMP, seller_replied_at = CURRENT_TIMESTAMP
          WHERE id = $dispute AND status = 'awaiting_seller'"
becomes disputes "$dispute" seller_response met "$@"
say "$@" "UPDATE disputes SET return_shipped_at = CURRENT_TIMESTAMP WHERE id = $dispute"
say "$@" "INSERT INTO refunds (id, order_id, dispute_id, amount, currency) VALUES ($refund, $order, $dispute, 59.90, 'EUR')"
becomes refunds "$refund" refund_inspection running "$@"
say "$@" "UPDATE refunds SET status = 'processing', inspected_at = CURRENT_TIMESTAMP WHERE id = $refund AND status = 'inspecting'"
becomes refunds "$refund" refund_processing running "$@"
say "$@" "UPDATE refunds SET status = 'clearing', processed_at = CURRENT_TIMESTAMP WHERE id = $refund AND status = 'processing'"
becomes refunds "$refund" refund_clearing running "$@"
say "$@" "UPDATE refunds SET status = 'completed', completed_at = CURRENT_TIMESTAMP WHERE id = $refund AND status = 'clearing'"
becomes refunds "$refund" refund_completion met "$@"
say "$@" "INSERT INTO disputes (id, order_id, opened_at) VALUES ($silent, $other, $almost_due)"
becomes disputes "$silent" seller_response fired "$@"
say "$@" "SELECT status FROM disputes WHERE id = $silent AND escalated_by = 'clock'"
