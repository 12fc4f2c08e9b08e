<?php
// One case from the order to the refund, and one dispute that the seller lets lie. Only PDO is needed.
// php case.php DSN USER FIRST_ID: says what the deadlines became, a line each.

date_default_timezone_set('America/New_York'); // the server of a shop is anywhere; what it writes is UTC
[, $dsn, $user, $first] = $argv;
$first = (int) $first;
[$order, $other, $dispute, $silent, $refund] = [$first, $first + 1, $first + 2, $first + 3, $first + 4];

$db = new PDO($dsn, $user, '', [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$db->exec(str_starts_with($dsn, 'mysql') ? "SET time_zone = '+00:00'" : 'PRAGMA busy_timeout = 5000');

function utc(string $when = 'now'): string
{
    return (new DateTimeImmutable($when))->setTimezone(new DateTimeZone('UTC'))->format('Y-m-d H:i:s.u');
}

function one(string $sql, mixed ...$values): void
{
    global $db;
    $done = $db->prepare($sql);
    $done->execute($values);
    if ($done->rowCount() !== 1) {
        throw new RuntimeException("{$done->rowCount()} rows: $sql");
    }
}

function becomes(string $table, int $id, string $kind, string $state): array
{
    global $db;
    $asked = $db->prepare('SELECT * FROM clock_due WHERE table_name = ? AND subject_id = ? AND kind = ? ORDER BY starts_at DESC');
    for ($tries = 0; $tries < 600; $tries++) {
        $asked->execute([$table, (string) $id, $kind]);
        $due = $asked->fetch(PDO::FETCH_ASSOC);
        $asked->closeCursor();
        if ($due && $due['state'] === $state) {
            if (!is_array(json_decode($due['steps']))) {
                throw new RuntimeException(json_encode($due));
            }
            echo "$kind $state\n";
            return $due;
        }
        usleep(50_000);
    }
    throw new RuntimeException("$kind of $table $id did not become $state");
}

one("INSERT INTO sellers (id, name, email, time_zone) VALUES (?, 'Ana', 'ana@shop.example', 'Europe/Lisbon')", $first);
one("INSERT INTO buyers (id, name, email, time_zone) VALUES (?, 'Bea', 'bea@home.example', 'Europe/Berlin')", $first);
foreach ([$order, $other] as $id) {
    one("INSERT INTO orders (id, buyer_id, seller_id, country) VALUES (?, ?, ?, 'DE')", $id, $first, $first);
}
one('UPDATE orders SET delivered_at = ? WHERE id = ?', utc(), $order);
becomes('orders', $order, 'return_window', 'running');

$db->beginTransaction();
one("UPDATE orders SET return_status = 'requested' WHERE id = ? AND return_status = 'open'", $order);
one("INSERT INTO disputes (id, order_id, reason) VALUES (?, ?, 'Too small')", $dispute, $order);
$db->commit();
$due = becomes('disputes', $dispute, 'seller_response', 'running');
$zone = new DateTimeZone('UTC');
$days = (new DateTime($due['starts_at'], $zone))->diff(new DateTime($due['promised_at'], $zone))->days;
if ($days < 4 || $days > 5) {
    throw new RuntimeException("$days days"); // an hour less where the clocks change
}
becomes('orders', $order, 'return_window', 'met');

one(
    "UPDATE disputes SET status = 'accepted', accepted_at = ?, seller_replied_at = ? WHERE id = ? AND status = 'awaiting_seller'",
    utc(),
    utc(),
    $dispute,
);
becomes('disputes', $dispute, 'seller_response', 'met');
one('UPDATE disputes SET return_shipped_at = ? WHERE id = ?', utc(), $dispute);

one("INSERT INTO refunds (id, order_id, dispute_id, amount, currency) VALUES (?, ?, ?, 59.90, 'EUR')", $refund, $order, $dispute);
becomes('refunds', $refund, 'refund_inspection', 'running');
one("UPDATE refunds SET status = 'processing', inspected_at = ? WHERE id = ? AND status = 'inspecting'", utc(), $refund);
becomes('refunds', $refund, 'refund_processing', 'running');
one("UPDATE refunds SET status = 'clearing', processed_at = ? WHERE id = ? AND status = 'processing'", utc(), $refund);
becomes('refunds', $refund, 'refund_clearing', 'running');
one("UPDATE refunds SET status = 'completed', completed_at = ? WHERE id = ? AND status = 'clearing'", utc(), $refund);
becomes('refunds', $refund, 'refund_completion', 'met');

one('INSERT INTO disputes (id, order_id, opened_at) VALUES (?, ?, ?)', $silent, $other, utc('-432000 seconds +2 seconds'));
becomes('disputes', $silent, 'seller_response', 'fired');
echo $db->query("SELECT status FROM disputes WHERE id = $silent AND escalated_by = 'clock'")->fetchColumn(), "\n";
