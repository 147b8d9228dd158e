//! The outbox: events that are written in the transaction that causes them, and delivered after it, at
//! least once, to the handlers that `app` plugs in.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, DbBackend, QueryOrder as _, QuerySelect as _,
    entity::prelude::*,
    sea_query::{LockBehavior, LockType},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    clock::Timestamp,
    ctx::{Base, CorrelationId, Ctx},
    db::Tx,
    error::{Error, Result},
    ids::EventId,
    signal::Topic,
    status,
};

/// Raised when an event was written.
pub const TOPIC: Topic = Topic::all("outbox");
/// Events of one delivery.
const BATCH: u64 = 64;
/// How often the outbox is looked into without a wake-up.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Deliveries after which an event is left to the operator: about an hour after it happened.
const ATTEMPTS_MAX: i32 = 20;
/// How long an event that could not be delivered is left to the operator.
const UNDELIVERED_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "outbox_events")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: EventId,
        pub kind: String,
        pub payload: String,
        pub correlation_id: String,
        pub attempts: i32,
        pub due_at: Timestamp,
        pub created_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Something that happened. The slice in which it happens owns the type.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// How the event is stored, such as `preview.ready`. Never changes.
    const KIND: &'static str;
}

/// Writes `event` in the open transaction.
///
/// # Errors
/// If the database does not answer.
pub async fn emit<E: Event>(ctx: &Ctx, tx: &Tx, event: &E) -> Result<()> {
    let now = ctx.clock.now();
    row::Entity::insert(row::ActiveModel {
        id: Set(EventId(ctx.entropy.uuid(now)?)),
        kind: Set(E::KIND.to_owned()),
        payload: Set(serde_json::to_string(event).map_err(Error::internal)?),
        correlation_id: Set(ctx.call.correlation.as_str().to_owned()),
        attempts: Set(0),
        due_at: Set(now),
        created_at: Set(now),
    })
    .exec_without_returning(&tx.sql())
    .await?;
    tx.raise(TOPIC);
    Ok(())
}

/// Handles events of one type, in the transaction that takes them out of the outbox: what it writes
/// happens once.
#[async_trait]
pub trait Handler<E: Event>: Send + Sync + 'static {
    /// Handles `event`.
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: E) -> Result<()>;
}

#[async_trait]
trait AnyHandler: Send + Sync {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, payload: &str) -> Result<()>;
}

struct Typed<E, H>(H, std::marker::PhantomData<fn() -> E>);

#[async_trait]
impl<E: Event, H: Handler<E>> AnyHandler for Typed<E, H> {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, payload: &str) -> Result<()> {
        self.0.handle(ctx, tx, serde_json::from_str(payload).map_err(Error::internal)?).await
    }
}

/// Who handles which events.
#[derive(Default)]
pub struct Handlers(HashMap<&'static str, Vec<Box<dyn AnyHandler>>>);

impl Handlers {
    /// Has `handler` handle every event of type `E`.
    #[must_use]
    pub fn on<E: Event>(mut self, handler: impl Handler<E>) -> Self {
        self.0.entry(E::KIND).or_default().push(Box::new(Typed(handler, std::marker::PhantomData)));
        self
    }
}

/// Delivers events for ever: at once after a wake-up, and every 5 s what was missed.
pub async fn relay(base: Arc<Base>, handlers: Arc<Handlers>) -> Result<()> {
    let mut wakeups = base.signals.listen(TOPIC);
    loop {
        let ctx = Ctx::system(base.clone(), "outbox")?;
        while deliver_next(&ctx, &handlers).await? {}
        wakeups.wait_at_most(SWEEP_EVERY).await;
    }
}

/// Delivers a batch; whether there may be more.
async fn deliver_next(ctx: &Ctx, handlers: &Handlers) -> Result<bool> {
    let tx = ctx.begin().await?;
    let mut due = row::Entity::find()
        .filter(row::Column::DueAt.lte(ctx.clock.now()))
        .filter(row::Column::Attempts.lt(ATTEMPTS_MAX))
        .order_by_asc(row::Column::Id)
        .limit(BATCH);
    if tx.backend() == DbBackend::Postgres {
        due = due.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let due = due.all(&tx.sql()).await?;
    if due.is_empty() {
        return Ok(false);
    }
    let full = due.len() as u64 == BATCH;
    for event in &due {
        if let Err(error) = deliver(ctx, &tx, handlers, event).await {
            drop(tx);
            status::log_call(&error, &event.correlation_id, "outbox");
            // Whatever shared the batch is delivered in the next round; only the culprit waits.
            postpone(ctx, event.id, event.attempts).await?;
            return Ok(true);
        }
    }
    let ids: Vec<_> = due.into_iter().map(|event| event.id).collect();
    row::Entity::delete_many().filter(row::Column::Id.is_in(ids)).exec(&tx.sql()).await?;
    tx.commit().await?;
    Ok(full)
}

async fn deliver(ctx: &Ctx, tx: &Tx, handlers: &Handlers, event: &row::Model) -> Result<()> {
    let cause = CorrelationId::accept(&event.correlation_id);
    let ctx = cause.map_or_else(|| ctx.clone(), |correlation| ctx.clone().caused_by(correlation));
    for handler in handlers.0.get(event.kind.as_str()).into_iter().flatten() {
        handler.handle(&ctx, tx, &event.payload).await?;
    }
    Ok(())
}

/// Forgets events that could not be delivered, and that the operator has left for 7 days: they say whom they concern.
///
/// # Errors
/// If the database does not answer.
pub async fn sweep(ctx: &Ctx, tx: &Tx) -> Result<()> {
    let forgotten = row::Entity::delete_many()
        .filter(row::Column::Attempts.gte(ATTEMPTS_MAX))
        .filter(row::Column::CreatedAt.lt(ctx.clock.now() - UNDELIVERED_KEPT))
        .exec(&tx.sql())
        .await?
        .rows_affected;
    if forgotten > 0 {
        tracing::error!(event = "outbox.forgotten", forgotten);
    }
    Ok(())
}

async fn postpone(ctx: &Ctx, id: EventId, attempts: i32) -> Result<()> {
    let wait = Duration::from_secs(1 << attempts.clamp(0, 8));
    let tx = ctx.begin().await?;
    row::Entity::update_many()
        .col_expr(row::Column::Attempts, Expr::value(attempts + 1))
        .col_expr(row::Column::DueAt, Expr::value(ctx.clock.now() + wait))
        .filter(row::Column::Id.eq(id))
        .exec(&tx.sql())
        .await?;
    tx.commit().await
}
