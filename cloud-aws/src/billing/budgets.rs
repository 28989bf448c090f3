//! Budgets: limits of what an account spends, and who is told when they are near.

use aws_sdk_budgets::types::{
    Budget, BudgetType, ComparisonOperator, Notification, NotificationType,
    NotificationWithSubscribers, ResourceTag, Spend, Subscriber, SubscriptionType, ThresholdType,
    TimeUnit,
};
use cloud_core::{
    ClientToken, Currency, Error, ErrorKind, Money, Region, ResourceKind, Result, Tags,
};
use serde::{Deserialize, Serialize};

use super::{AwsBilling, amount};
use crate::{
    error::{absent, has_code, reads, unbuilt, writes},
    tags,
    tokens::Request,
};

/// The most alerts of a budget, and the most who are told of one
/// ([Quotas](https://docs.aws.amazon.com/cost-management/latest/userguide/management-limits.html)).
const MOST_ALERTS: usize = 10;
const MOST_ADDRESSES: usize = 11;

/// After which time a budget begins anew.
///
/// ```
/// assert_eq!(cloud_aws::AwsBudgetPeriod::default(), cloud_aws::AwsBudgetPeriod::Monthly);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AwsBudgetPeriod {
    /// A day.
    Daily,
    /// A month.
    #[default]
    Monthly,
    /// A quarter.
    Quarterly,
    /// A year.
    Annually,
}

/// Who is told.
///
/// ```
/// # use cloud_aws::AwsSubscriber;
/// let team = AwsSubscriber::Email("team@example.com".into());
/// let pager = AwsSubscriber::Sns("arn:aws:sns:us-east-1:123456789012:costs".into());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AwsSubscriber {
    /// An address of e-mail.
    Email(String),
    /// The ARN of an SNS topic, whose policy must let `budgets.amazonaws.com` publish.
    Sns(String),
}

/// When somebody is told.
///
/// ```
/// # use cloud_aws::{AwsBudgetAlert, AwsSubscriber};
/// let alert = AwsBudgetAlert {
///     percent: 80,
///     forecast: false,
///     tell: vec![AwsSubscriber::Email("team@example.com".into())],
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsBudgetAlert {
    /// Once more than this share of the limit is spent; 1 to 1000.
    pub percent: u32,
    /// Once it is foretold that it will be, instead of when it is.
    #[serde(default)]
    pub forecast: bool,
    /// Whom: one SNS topic and ten addresses of e-mail at most.
    pub tell: Vec<AwsSubscriber>,
}

/// A request for a budget over all costs of the account.
///
/// ```
/// # use cloud_aws::AwsBudgetSpec;
/// # use cloud_core::Money;
/// let spec = AwsBudgetSpec::new("all", Money::usd("100".parse().unwrap()));
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsBudgetSpec {
    /// Its name, of which an account has one.
    pub name: String,
    /// What may be spent in a period.
    pub limit: Money,
    /// After which time it begins anew.
    #[serde(default)]
    pub period: AwsBudgetPeriod,
    /// When who is told; at most ten.
    #[serde(default)]
    pub alerts: Vec<AwsBudgetAlert>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// A budget, as AWS reports it.
///
/// ```
/// # use cloud_aws::AwsBudget;
/// fn is_exceeded(budget: &AwsBudget) -> bool {
///     budget.limit.as_ref().zip(budget.spent.as_ref()).is_some_and(|(limit, spent)| spent.amount > limit.amount)
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AwsBudget {
    /// Its name.
    pub name: String,
    /// What may be spent; `None` for one that is no fixed amount.
    pub limit: Option<Money>,
    /// After which time it begins anew; `None` for one of its own.
    pub period: Option<AwsBudgetPeriod>,
    /// What was spent so far; AWS looks up to three times a day.
    pub spent: Option<Money>,
    /// What will have been spent at its end, as AWS foretells it.
    pub forecast: Option<Money>,
}

impl AwsBudgetSpec {
    /// A monthly budget that tells nobody.
    pub fn new(name: impl Into<String>, limit: Money) -> Self {
        Self {
            name: name.into(),
            limit,
            period: AwsBudgetPeriod::Monthly,
            alerts: Vec::new(),
            tags: Tags::default(),
        }
    }

    /// Refuses what AWS does not take
    /// ([CreateBudget](https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_CreateBudget.html)).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name(&self.name)?;
        if self.limit.amount.is_sign_negative() || self.limit.amount.is_zero() {
            return Err(Error::invalid("limit", format_args!("is {}", self.limit), "more than 0"));
        }
        if self.alerts.len() > MOST_ALERTS {
            let problem = format!("has {}", self.alerts.len());
            return Err(Error::invalid("alerts", problem, format_args!("at most {MOST_ALERTS}")));
        }
        self.alerts.iter().try_for_each(AwsBudgetAlert::validate)?;
        tags::check(&self.tags)
    }
}

impl AwsBudgetAlert {
    fn validate(&self) -> Result<()> {
        if !(1..=1000).contains(&self.percent) {
            return Err(Error::invalid(
                "percent",
                format_args!("is {}", self.percent),
                "1 to 1000",
            ));
        }
        let topics = self.tell.iter().filter(|who| matches!(who, AwsSubscriber::Sns(_))).count();
        if !(1..=MOST_ADDRESSES).contains(&self.tell.len())
            || topics > 1
            || self.tell.len() - topics > 10
        {
            let problem = format!("has {topics} topics and {} addresses", self.tell.len() - topics);
            return Err(Error::invalid(
                "tell",
                problem,
                "at least one: 1 topic and 10 addresses at most",
            ));
        }
        for who in &self.tell {
            let (good, text, form) = match who {
                AwsSubscriber::Email(address) => {
                    let mut parts = address.split('@');
                    let whole = parts.by_ref().take(2).filter(|part| !part.is_empty()).count() == 2;
                    let good =
                        whole && parts.next().is_none() && !address.contains(char::is_whitespace);
                    (
                        good && address.len() <= 50,
                        address,
                        "an address of e-mail of at most 50 characters",
                    )
                }
                AwsSubscriber::Sns(arn) => (
                    arn.starts_with("arn:") && arn.contains(":sns:"),
                    arn,
                    "arn:aws:sns:REGION:ACCOUNT:TOPIC",
                ),
            };
            if !good {
                return Err(Error::invalid(
                    "tell",
                    format_args!("has '{}'", text.escape_debug()),
                    form,
                ));
            }
        }
        Ok(())
    }

    fn write(&self) -> Result<NotificationWithSubscribers> {
        let kind = match self.forecast {
            true => NotificationType::Forecasted,
            false => NotificationType::Actual,
        };
        let notification = Notification::builder()
            .notification_type(kind)
            .comparison_operator(ComparisonOperator::GreaterThan)
            .threshold(f64::from(self.percent))
            .threshold_type(ThresholdType::Percentage)
            .build()
            .map_err(unbuilt)?;
        let who = self.tell.iter().map(|who| {
            let (kind, address) = match who {
                AwsSubscriber::Email(address) => (SubscriptionType::Email, address),
                AwsSubscriber::Sns(arn) => (SubscriptionType::Sns, arn),
            };
            Subscriber::builder().subscription_type(kind).address(address).build().map_err(unbuilt)
        });
        NotificationWithSubscribers::builder()
            .notification(notification)
            .set_subscribers(Some(who.collect::<Result<_>>()?))
            .build()
            .map_err(unbuilt)
    }
}

impl AwsBilling {
    /// Creates a budget over all costs of the account. It tells; it stops nothing.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists), or any.
    ///
    /// ```no_run
    /// # use cloud_core::{ClientToken, Money, Result};
    /// # use cloud_aws::{AwsBudgetAlert, AwsBudgetSpec, AwsCloud, AwsSubscriber};
    /// async fn limit(cloud: &AwsCloud) -> Result<()> {
    ///     let mut spec = AwsBudgetSpec::new("all", Money::usd("100".parse().unwrap()));
    ///     let tell = vec![AwsSubscriber::Email("team@example.com".into())];
    ///     spec.alerts.push(AwsBudgetAlert { percent: 80, forecast: false, tell });
    ///     cloud.aws_billing().create_budget(&spec, &ClientToken::random()).await
    /// }
    /// ```
    pub async fn create_budget(&self, spec: &AwsBudgetSpec, token: &ClientToken) -> Result<()> {
        let create = async |request: Request| {
            let number = self.number().await?;
            let budget = Budget::builder()
                .budget_name(&spec.name)
                .budget_type(BudgetType::Cost)
                .time_unit(spec.period.write())
                .budget_limit(write_money(&spec.limit)?)
                .build()
                .map_err(unbuilt)?;
            let alerts = spec.alerts.iter().map(AwsBudgetAlert::write);
            let alerts = alerts.collect::<Result<Vec<_>>>()?;
            let tags = tags::for_create(&spec.tags, &request)?.into_iter().map(|(key, value)| {
                ResourceTag::builder().key(key).value(value).build().map_err(unbuilt)
            });
            let asked = self
                .client()?
                .create_budget()
                .account_id(number)
                .budget(budget)
                .set_notifications_with_subscribers((!alerts.is_empty()).then_some(alerts))
                .set_resource_tags(Some(tags.collect::<Result<_>>()?));
            match asked.send().await.map_err(writes("budgets")) {
                Ok(_) => Ok(()),
                Err(error) if has_code(&error, &["DuplicateRecordException"]) => {
                    match request.made(self.request_of(&spec.name).await?.as_deref())? {
                        true => Ok(()),
                        false => Err(error),
                    }
                }
                Err(error) => Err(error),
            }
        };
        let made = async {
            spec.validate()?;
            // A budget is no resource with an id of ours; its token is apart from theirs by what is written with it.
            let of = ("budget", spec);
            self.account.tokens.once(ResourceKind::Instance, &of, token, create).await
        };
        made.await.map_err(self.account.in_call("billing.create_budget"))
    }

    /// All budgets for costs of the account.
    ///
    /// # Errors
    /// Any.
    ///
    /// ```no_run
    /// # use cloud_core::Result;
    /// # use cloud_aws::AwsCloud;
    /// async fn names(cloud: &AwsCloud) -> Result<Vec<String>> {
    ///     let budgets = cloud.aws_billing().list_budgets().await?;
    ///     Ok(budgets.into_iter().map(|budget| budget.name).collect())
    /// }
    /// ```
    pub async fn list_budgets(&self) -> Result<Vec<AwsBudget>> {
        let listed = async {
            let request = self.client()?.describe_budgets().account_id(self.number().await?);
            let (mut all, mut next) = (Vec::new(), None);
            loop {
                let page = request.clone().max_results(100).set_next_token(next).send().await;
                let page = page.map_err(reads("budgets"))?;
                for budget in page.budgets.iter().flatten() {
                    if budget.budget_type == BudgetType::Cost {
                        all.push(view(budget)?);
                    }
                }
                match page.next_token.filter(|token| !token.is_empty()) {
                    Some(token) => next = Some(token),
                    None => return Ok(all),
                }
            }
        };
        listed.await.map_err(self.account.in_call("billing.list_budgets"))
    }

    /// Deletes a budget. `true` if it was there.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what is no name of a budget, or any.
    pub async fn delete_budget(&self, name: &str) -> Result<bool> {
        let deleted = async {
            check_name(name)?;
            let request = self.client()?.delete_budget().account_id(self.number().await?);
            match request.budget_name(name).send().await.map_err(writes("budgets")) {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        deleted.await.map_err(self.account.in_call("billing.delete_budget"))
    }

    /// By which create a budget was made.
    async fn request_of(&self, name: &str) -> Result<Option<String>> {
        let arn = format!("arn:aws:budgets::{}:budget/{name}", self.number().await?);
        let request = self.client()?.list_tags_for_resource().resource_arn(arn);
        let answer = request.send().await.map_err(reads("budgets"))?;
        let pairs = answer.resource_tags.into_iter().flatten().map(|tag| (tag.key, tag.value));
        Ok(tags::read(pairs).1)
    }

    /// The number of the account that the credentials are of, asked for once.
    async fn number(&self) -> Result<&str> {
        let ask = || async {
            let client = self.account.sts(&home()?)?;
            let answer = client.get_caller_identity().send().await.map_err(reads("sts"))?;
            answer.account.ok_or_else(|| absent("account"))
        };
        self.number.get_or_try_init(ask).await.map(String::as_str)
    }

    fn client(&self) -> Result<aws_sdk_budgets::Client> {
        self.account.budgets(&home()?)
    }
}

impl AwsBudgetPeriod {
    fn write(self) -> TimeUnit {
        match self {
            Self::Daily => TimeUnit::Daily,
            Self::Monthly => TimeUnit::Monthly,
            Self::Quarterly => TimeUnit::Quarterly,
            Self::Annually => TimeUnit::Annually,
        }
    }

    fn read(unit: &TimeUnit) -> Option<Self> {
        match unit {
            TimeUnit::Daily => Some(Self::Daily),
            TimeUnit::Monthly => Some(Self::Monthly),
            TimeUnit::Quarterly => Some(Self::Quarterly),
            TimeUnit::Annually => Some(Self::Annually),
            _ => None,
        }
    }
}

fn home() -> Result<Region> {
    Region::new("us-east-1")
}

fn check_name(name: &str) -> Result<()> {
    let good = (1..=100).contains(&name.chars().count())
        && !name.chars().any(|c| c.is_control() || matches!(c, ':' | '\\' | '/'))
        && name.trim() == name;
    match good {
        true => Ok(()),
        false => Err(Error::invalid(
            "budget name",
            format_args!("is '{}'", name.escape_debug()),
            "1 to 100 characters, without ':', '\\', '/', control characters and blanks at the ends",
        )),
    }
}

fn write_money(money: &Money) -> Result<Spend> {
    let spend = Spend::builder().amount(money.amount.to_string()).unit(money.currency.as_str());
    spend.build().map_err(unbuilt)
}

fn read_money(spend: &Spend) -> Result<Money> {
    Ok(Money { amount: amount(&spend.amount)?, currency: Currency::new(spend.unit.as_str())? })
}

fn view(budget: &Budget) -> Result<AwsBudget> {
    let spent = budget.calculated_spend.as_ref();
    let actual = spent.and_then(|spent| spent.actual_spend.as_ref());
    let forecast = spent.and_then(|spent| spent.forecasted_spend.as_ref());
    Ok(AwsBudget {
        name: budget.budget_name.clone(),
        limit: budget.budget_limit.as_ref().map(read_money).transpose()?,
        period: AwsBudgetPeriod::read(&budget.time_unit),
        spent: actual.map(read_money).transpose()?,
        forecast: forecast.map(read_money).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> AwsBudgetSpec {
        let mut spec = AwsBudgetSpec::new("all", Money::usd("100".parse().unwrap()));
        let tell = vec![
            AwsSubscriber::Email("a@example.com".into()),
            AwsSubscriber::Sns("arn:aws:sns:us-east-1:123456789012:costs".into()),
        ];
        spec.alerts.push(AwsBudgetAlert { percent: 80, forecast: true, tell });
        spec
    }

    #[test]
    fn what_aws_refuses_is_refused_by_its_field() {
        assert!(spec().validate().is_ok());
        let problem = |change: &dyn Fn(&mut AwsBudgetSpec)| {
            let mut spec = spec();
            change(&mut spec);
            spec.validate().unwrap_err().to_string()
        };
        assert!(problem(&|s| s.name = "a/b".into()).contains("budget name"));
        assert!(problem(&|s| s.name = " ".into()).contains("budget name"));
        assert!(problem(&|s| s.limit.amount = "0".parse().unwrap()).contains("limit is 0"));
        assert!(problem(&|s| s.alerts[0].percent = 0).contains("percent"));
        assert!(problem(&|s| s.alerts[0].tell.clear()).contains("tell"));
        assert!(problem(&|s| s.alerts = vec![s.alerts[0].clone(); 11]).contains("alerts has 11"));
        for address in ["", "a", "a@", "@b", "a@b@c", "a b@c.de"] {
            let change = |s: &mut AwsBudgetSpec| {
                s.alerts[0].tell = vec![AwsSubscriber::Email(address.into())];
            };
            assert!(problem(&change).contains("tell has"), "{address}");
        }
        let topic = |s: &mut AwsBudgetSpec| s.alerts[0].tell = vec![AwsSubscriber::Sns("x".into())];
        assert!(problem(&topic).contains("arn:aws:sns"));
    }
}
