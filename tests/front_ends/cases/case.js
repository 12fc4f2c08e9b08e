// One case from the order to the refund, and one dispute that the seller lets lie. Only pg is needed.
// node case.js URL FIRST_ID: says what the deadlines became, a line each.
const { Client } = require("pg");

const [url, first] = [process.argv[2], Number(process.argv[3])];
const [order, other, dispute, silent, refund] = [first, first + 1, first + 2, first + 3, first + 4];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function main() {
  const db = new Client({ connectionString: url });
  await db.connect();
  // Dates travel as instants, so a session in any zone will do.
  await db.query("SET TIME ZONE 'Asia/Kolkata'");
  const one = async (sql, ...values) => {
    const { rowCount } = await db.query(sql, values);
    if (rowCount !== 1) throw new Error(`${rowCount} rows: ${sql}`);
  };
  const becomes = async (table, id, kind, state) => {
    const asked = "SELECT * FROM clock_due WHERE table_name = $1 AND subject_id = $2 AND kind = $3 ORDER BY starts_at DESC";
    for (let tries = 0; tries < 600; tries++) {
      const [due] = (await db.query(asked, [table, String(id), kind])).rows;
      if (due && due.state === state) {
        if (!(due.promised_at instanceof Date) || !Array.isArray(due.steps)) throw new Error(JSON.stringify(due));
        console.log(kind, state);
        return due;
      }
      await pause(50);
    }
    throw new Error(`${kind} of ${table} ${id} did not become ${state}`);
  };

  await one("INSERT INTO sellers (id, name, email, time_zone) VALUES ($1, 'Ana', 'ana@shop.example', 'Europe/Lisbon')", first);
  await one("INSERT INTO buyers (id, name, email, time_zone) VALUES ($1, 'Bea', 'bea@home.example', 'Europe/Berlin')", first);
  for (const id of [order, other]) {
    await one("INSERT INTO orders (id, buyer_id, seller_id, country) VALUES ($1, $2, $2, 'DE')", id, first);
  }
  await one("UPDATE orders SET delivered_at = $1 WHERE id = $2", new Date(), order);
  await becomes("orders", order, "return_window", "running");

  await db.query("BEGIN");
  await one("UPDATE orders SET return_status = 'requested' WHERE id = $1 AND return_status = 'open'", order);
  await one("INSERT INTO disputes (id, order_id, reason) VALUES ($1, $2, 'Too small')", dispute, order);
  await db.query("COMMIT");
  const due = await becomes("disputes", dispute, "seller_response", "running");
  const days = (due.promised_at - due.starts_at) / 86400000;
  if (Math.abs(days - 5) > 0.05) throw new Error(`${days} days`); // an hour more or less where the clocks change
  await becomes("orders", order, "return_window", "met");

  const accepted = "UPDATE disputes SET status = 'accepted', accepted_at = now(), seller_replied_at = now() WHERE id = $1 AND status = 'awaiting_seller'";
  await one(accepted, dispute);
  await becomes("disputes", dispute, "seller_response", "met");
  await one("UPDATE disputes SET return_shipped_at = now() WHERE id = $1", dispute);

  await one("INSERT INTO refunds (id, order_id, dispute_id, amount, currency) VALUES ($1, $2, $3, 59.90, 'EUR')", refund, order, dispute);
  await becomes("refunds", refund, "refund_inspection", "running");
  await one("UPDATE refunds SET status = 'processing', inspected_at = now() WHERE id = $1 AND status = 'inspecting'", refund);
  await becomes("refunds", refund, "refund_processing", "running");
  await one("UPDATE refunds SET status = 'clearing', processed_at = now() WHERE id = $1 AND status = 'processing'", refund);
  await becomes("refunds", refund, "refund_clearing", "running");
  await one("UPDATE refunds SET status = 'completed', completed_at = now() WHERE id = $1 AND status = 'clearing'", refund);
  await becomes("refunds", refund, "refund_completion", "met");

  const almostDue = new Date(Date.now() - 5 * 86400000 + 2000);
  await one("INSERT INTO disputes (id, order_id, opened_at) VALUES ($1, $2, $3)", silent, other, almostDue);
  await becomes("disputes", silent, "seller_response", "fired");
  const { rows } = await db.query("SELECT status, escalated_by FROM disputes WHERE id = $1", [silent]);
  if (rows[0].escalated_by !== "clock") throw new Error(JSON.stringify(rows));
  console.log(rows[0].status);
  await db.end();
}

main().catch((fault) => {
  console.error(fault);
  process.exit(1);
});
