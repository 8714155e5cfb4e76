use std::time::Instant;
use sqlx::{AnyPool, Connection, Executor, any::*, sqlite::*, Row};
use std::str::FromStr;
fn cpu() -> f64 { let t = std::fs::read_to_string("/proc/self/stat").unwrap(); let f: Vec<&str> = t.rsplit_once(')').unwrap().1.split_whitespace().collect(); (f[11].parse::<f64>().unwrap()+f[12].parse::<f64>().unwrap())*1e4 }
macro_rules! m { ($name:expr, $n:expr, $body:block) => {{ for _ in 0..200 { $body } let (t,c)=(Instant::now(),cpu()); for _ in 0..$n { $body } println!("{:45} {:7.1} us wall {:7.1} us cpu", $name, t.elapsed().as_secs_f64()*1e6/$n as f64, (cpu()-c)/$n as f64); }} }
#[tokio::main(flavor="multi_thread", worker_threads=2)]
async fn main() {
    install_default_drivers();
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", dir.path().join("x.db").display());
    tokio::spawn(async move {
    let pool: AnyPool = AnyPoolOptions::new().max_connections(4).test_before_acquire(false).connect(&url).await.unwrap();
    pool.execute("PRAGMA journal_mode=WAL").await.unwrap();
    pool.execute("CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a TEXT, b TEXT, c TEXT, d TEXT, e INTEGER, f INTEGER, g TEXT, h TEXT)").await.unwrap();
    pool.execute("INSERT INTO t VALUES ('1','aaaaaaaaaaaa','bbbbbbbbbbbbbbb','ccccccccccccc','ddddddddddd',5,6,'gggg','hhhh')").await.unwrap();
    let q = "SELECT id,a,b,c,d,e,f,g,h FROM t WHERE id = $1";
    let n = 5000;
    m!("AnyPool fetch_optional", n, { let r = sqlx::query(q).bind("1").fetch_optional(&pool).await.unwrap().unwrap(); let _: String = r.get("a"); });
    let mut c = AnyConnection::connect(&url).await.unwrap();
    m!("AnyConnection fetch_optional", n, { let r = sqlx::query(q).bind("1").fetch_optional(&mut c).await.unwrap().unwrap(); let _: String = r.get("a"); });
    let mut s = SqliteConnection::connect_with(&SqliteConnectOptions::from_str(&url).unwrap()).await.unwrap();
    m!("SqliteConnection fetch_optional", n, { let r = sqlx::query(q).bind("1").fetch_optional(&mut s).await.unwrap().unwrap(); let _: String = r.get("a"); });
    m!("SqliteConnection fetch_all", n, { let r = sqlx::query(q).bind("1").fetch_all(&mut s).await.unwrap(); let _: String = r[0].get("a"); });
    m!("AnyConnection ping", n, { c.ping().await.unwrap(); });
    let u = "UPDATE t SET e = $1 WHERE id = $2";
    c.execute("BEGIN").await.unwrap();
    m!("AnyConnection 6 updates, 6 queries", n, { for _ in 0..6 { sqlx::query(u).bind(7).bind("1").execute(&mut c).await.unwrap(); } });
    let six = "UPDATE t SET e=$1 WHERE id=$2;UPDATE t SET e=$3 WHERE id=$4;UPDATE t SET e=$5 WHERE id=$6;UPDATE t SET e=$7 WHERE id=$8;UPDATE t SET e=$9 WHERE id=$10;UPDATE t SET e=$11 WHERE id=$12";
    m!("AnyConnection 6 updates, one query", n, { let mut x = sqlx::query(six); for _ in 0..6 { x = x.bind(7).bind("1"); } let r = x.execute(&mut c).await.unwrap(); assert_eq!(r.rows_affected(), 6); });
    c.execute("COMMIT").await.unwrap();
    }).await.unwrap();
}
