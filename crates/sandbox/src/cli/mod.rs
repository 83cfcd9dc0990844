//! The command line of `hookswitch-sandbox`: `serve` and `certs` here, everything else a client of
//! the control API (`client`, printed by `show`).

mod client;
mod serve;
mod show;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::faults::{Fault, FaultKind};
use super::inbox::Channel;
use super::okta::{RequestType, SendRequest};
use super::phone::Area;
use client::Client;

pub use serve::Serve;

/// A simulated Okta org and simulated providers, with faults on demand.
#[derive(Debug, Parser)]
#[command(name = "hookswitch-sandbox", version)]
pub struct Cli {
    /// The control API of the sandbox to speak to.
    #[arg(long, global = true, env = "HOOKSWITCH_SANDBOX", default_value = "http://127.0.0.1:8025")]
    control: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the simulated org, the providers and the control API.
    Serve(Box<Serve>),
    /// Writes the sandbox's authority and a server certificate to a directory.
    Certs(Certs),
    /// Lets Okta send a passcode, and says who delivered it.
    Send(Send),
    /// Shows what the handsets received.
    Inbox(InboxArgs),
    /// Lets a provider fail, or heals it.
    Fault(FaultArgs),
    /// Shows Okta's System Log.
    Log(OrgArgs),
    /// Shows the org's inline hooks.
    Hooks(OrgArgs),
    /// Shows which telephony hooks were active when, and who changed that.
    Turns(OrgArgs),
    /// Calls the org's management API as another admin would, and shows the answer.
    Admin(AdminArgs),
    /// Shows what providers and the org's API were asked.
    Calls(OrgArgs),
    /// Lets people log in all the time, and says what became of them.
    #[command(subcommand)]
    Traffic(Traffic),
}

#[derive(Debug, Subcommand)]
enum Traffic {
    /// People ask for passcodes from now on, each when it is due.
    Begin {
        /// How many a second.
        #[arg(long, default_value_t = 10)]
        per_second: u32,
        /// The org; the first when absent.
        #[arg(long)]
        org: Option<String>,
    },
    /// Nobody asks any more: says what became of each, and fails when one was lost.
    End(OrgArgs),
}

#[derive(Debug, Args)]
struct Certs {
    /// The directory; an authority that is there already is used.
    #[arg(long)]
    dir: PathBuf,
    /// DNS names or addresses the certificate is for.
    #[arg(long, required = true, num_args = 1..)]
    host: Vec<String>,
    /// Names the files: NAME.crt and NAME.key.
    #[arg(long, default_value = "tls")]
    name: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ChannelArg {
    Sms,
    Voice,
}

#[derive(Debug, Args)]
struct Send {
    /// The handset's number.
    #[arg(long)]
    to: String,
    /// Text or call.
    #[arg(long, value_enum, default_value = "sms")]
    channel: ChannelArg,
    /// The person's login; absent, each number is another person's.
    #[arg(long)]
    user: Option<String>,
    /// What the person is doing.
    #[arg(long = "type", value_enum, default_value = "mfa-verification")]
    request_type: RequestType,
    /// The passcode; six random digits when absent.
    #[arg(long)]
    code: Option<String>,
    /// The person's locale.
    #[arg(long, default_value = "EN-US")]
    locale: String,
    /// The org; the first when absent.
    #[arg(long)]
    org: Option<String>,
    /// The whole report as JSON.
    #[arg(long)]
    json: bool,
}

impl Send {
    fn request(&self) -> SendRequest {
        SendRequest {
            to: self.to.clone(),
            channel: match self.channel {
                ChannelArg::Sms => Channel::Sms,
                ChannelArg::Voice => Channel::Voice,
            },
            user: self.user.clone(),
            request_type: self.request_type,
            code: self.code.clone(),
            locale: self.locale.clone(),
        }
    }
}

#[derive(Debug, Args)]
struct InboxArgs {
    /// Messages to this number alone.
    #[arg(long)]
    to: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Forgets them after showing them.
    #[arg(long)]
    clear: bool,
}

#[derive(Debug, Args)]
struct OrgArgs {
    /// The org; the first when absent.
    #[arg(long)]
    org: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct AdminArgs {
    /// HTTP method.
    method: String,
    /// Path, such as `/api/v1/inlineHooks`.
    path: String,
    /// Body, as JSON.
    body: Option<String>,
    /// The org; the first when absent.
    #[arg(long)]
    org: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FaultArg {
    /// Gone: connections are reset.
    Down,
    /// Delivered, answered late (--ms).
    Slow,
    /// Never answered.
    Hang,
    /// Reset once the request was read.
    Reset,
    /// Refused (--code, --status, --class, --scope).
    Refuse,
    /// A success status with nonsense.
    Garbage,
    /// One byte at a time (--ms).
    Trickle,
    /// The provider says it does not know.
    Unknown,
    /// Heals the provider, or one country of it.
    Clear,
}

#[derive(Debug, Args)]
struct FaultArgs {
    /// The account's name.
    provider: String,
    /// What goes wrong.
    #[arg(value_enum)]
    fault: FaultArg,
    /// Milliseconds of slow and trickle.
    #[arg(long)]
    ms: Option<u64>,
    /// The vendor's code of a refusal.
    #[arg(long)]
    code: Option<String>,
    /// HTTP status of a refusal.
    #[arg(long)]
    status: Option<u16>,
    /// Class of the JSON provider's refusal.
    #[arg(long)]
    class: Option<String>,
    /// Scope of the JSON provider's permanent-config.
    #[arg(long)]
    scope: Option<String>,
    /// The handset gets the message although the answer is lost.
    #[arg(long)]
    delivered: bool,
    /// Only numbers of a country (SE) or prefix (+46).
    #[arg(long)]
    country: Option<Area>,
    /// Only so many messages.
    #[arg(long)]
    times: Option<u32>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl FaultArgs {
    /// The fault these arguments ask for; nothing for `clear`.
    fn fault(&self) -> anyhow::Result<Option<Fault>> {
        let delivered = self.delivered;
        let ms = || self.ms.context("--ms is needed");
        let kind = match self.fault {
            FaultArg::Clear => return Ok(None),
            FaultArg::Down => FaultKind::Down,
            FaultArg::Slow => FaultKind::Slow { ms: ms()? },
            FaultArg::Hang => FaultKind::Hang { delivered },
            FaultArg::Reset => FaultKind::Reset { delivered },
            FaultArg::Refuse => FaultKind::Refuse {
                code: self.code.clone().context("--code is needed")?,
                status: self.status,
                class: self.class.clone(),
                scope: self.scope.clone(),
            },
            FaultArg::Garbage => FaultKind::Garbage { delivered },
            FaultArg::Trickle => FaultKind::Trickle { ms: ms()?, delivered },
            FaultArg::Unknown => FaultKind::Unknown { delivered },
        };
        Ok(Some(Fault { fault: kind, country: self.country.clone(), times: self.times }))
    }
}

impl Cli {
    /// Does what the command line says, printing to `out`.
    ///
    /// # Errors
    /// When the sandbox cannot be reached or refuses, or an argument makes no sense.
    pub async fn run(self, out: &mut (dyn Write + std::marker::Send)) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(serve) => serve.run().await,
            Command::Certs(certs) => write_certs(&certs, out),
            Command::Send(send) => {
                let client = Client::new(&self.control)?;
                let report = client.send(send.org.as_deref(), &send.request()).await?;
                if send.json { show::json(out, &report) } else { show::report(out, &report) }
            }
            Command::Inbox(args) => {
                let client = Client::new(&self.control)?;
                let messages = client.inbox(args.to.as_deref()).await?;
                if args.json {
                    show::json(out, &messages)?;
                } else {
                    show::inbox(out, &messages)?;
                }
                if args.clear {
                    client.clear_inbox(args.to.as_deref()).await?;
                }
                Ok(())
            }
            Command::Fault(args) => {
                let client = Client::new(&self.control)?;
                let faults = match args.fault()? {
                    Some(fault) => client.set_fault(&args.provider, &fault).await?,
                    None => client.clear_faults(&args.provider, args.country.as_ref()).await?,
                };
                if args.json { show::json(out, &faults) } else { show::faults(out, &args.provider, &faults) }
            }
            Command::Log(args) => {
                let client = Client::new(&self.control)?;
                let events = client.of_org(args.org.as_deref(), "log").await?;
                if args.json { show::json(out, &events) } else { show::log(out, &events) }
            }
            Command::Hooks(args) => {
                let client = Client::new(&self.control)?;
                let hooks = client.of_org(args.org.as_deref(), "hooks").await?;
                if args.json { show::json(out, &hooks) } else { show::hooks(out, &hooks) }
            }
            Command::Turns(args) => {
                let client = Client::new(&self.control)?;
                let turns = client.of_org(args.org.as_deref(), "turns").await?;
                if args.json { show::json(out, &turns) } else { show::turns(out, &turns) }
            }
            Command::Admin(args) => {
                let client = Client::new(&self.control)?;
                let body = args.body.as_deref().map(serde_json::from_str).transpose().context("the body is no JSON")?;
                let answered = client.admin(args.org.as_deref(), &args.method, &args.path, body.as_ref()).await?;
                show::json(out, &answered["body"])?;
                let status = answered["status"].as_u64().unwrap_or_default();
                anyhow::ensure!((200..300).contains(&status), "Okta answered {status}");
                Ok(())
            }
            Command::Traffic(Traffic::Begin { per_second, org }) => {
                Client::new(&self.control)?.begin_traffic(org.as_deref(), per_second).await?;
                Ok(writeln!(out, "{per_second} passcodes are asked for each second")?)
            }
            Command::Traffic(Traffic::End(args)) => {
                let all = Client::new(&self.control)?.end_traffic(args.org.as_deref()).await?;
                if args.json {
                    show::json(out, &all)?;
                } else {
                    show::traffic(out, &all)?;
                }
                let lost = all.iter().filter(|asked| asked.lost().is_some()).count();
                anyhow::ensure!(lost == 0, "{lost} of {} were lost", all.len());
                Ok(())
            }
            Command::Calls(args) => {
                let client = Client::new(&self.control)?;
                let providers = client.provider_calls().await?;
                let okta = client.of_org(args.org.as_deref(), "calls").await?;
                if args.json {
                    show::json(out, &serde_json::json!({"carriers": providers, "okta": okta}))
                } else {
                    show::calls(out, &providers, &okta)
                }
            }
        }
    }
}

fn write_certs(certs: &Certs, out: &mut dyn Write) -> anyhow::Result<()> {
    let authority = super::certs::Authority::in_dir(&certs.dir)?;
    let (cert, key) = authority.issue(&certs.host)?.write(&certs.dir, &certs.name)?;
    writeln!(out, "{}", certs.dir.join("ca.crt").display())?;
    writeln!(out, "{}", cert.display())?;
    writeln!(out, "{}", key.display())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Command {
        let words = std::iter::once("hookswitch-sandbox").chain(line.split_whitespace());
        Cli::try_parse_from(words).unwrap().command
    }

    fn fault(line: &str) -> anyhow::Result<Option<Fault>> {
        match parsed(line) {
            Command::Fault(args) => args.fault(),
            _ => panic!("not a fault"),
        }
    }

    #[test]
    fn a_send_has_the_defaults_of_a_sign_in_by_text() {
        let Command::Send(send) = parsed("send --to +46701234567") else {
            panic!("not a send");
        };
        let request = send.request();
        assert_eq!(request.channel, Channel::Sms);
        assert_eq!(request.request_type, RequestType::MfaVerification);
        assert!(request.code.is_none());
    }

    #[test]
    fn a_send_takes_channel_type_and_code() {
        let Command::Send(send) =
            parsed("send --to +46701234567 --channel voice --type password-reset --code 007 --json")
        else {
            panic!("not a send");
        };
        let request = send.request();
        assert_eq!(request.channel, Channel::Voice);
        assert_eq!(request.request_type, RequestType::PasswordReset);
        assert_eq!(request.code.as_deref(), Some("007"));
        assert!(send.json);
    }

    #[test]
    fn faults_are_spelled_as_the_help_says() {
        assert_eq!(
            fault("fault twilio slow --ms 700 --country SE").unwrap(),
            Some(Fault::within(FaultKind::Slow { ms: 700 }, "SE".parse().unwrap()))
        );
        assert_eq!(
            fault("fault twilio refuse --code 21610 --times 2").unwrap(),
            Some(Fault::times(
                FaultKind::Refuse { code: "21610".to_owned(), status: None, class: None, scope: None },
                2
            ))
        );
        assert_eq!(
            fault("fault twilio hang --delivered").unwrap(),
            Some(Fault::always(FaultKind::Hang { delivered: true }))
        );
        assert_eq!(fault("fault twilio clear").unwrap(), None);
    }

    #[test]
    fn a_fault_without_its_measure_is_refused() {
        assert!(fault("fault twilio slow").is_err());
        assert!(fault("fault twilio refuse").is_err());
    }

    #[test]
    fn an_unknown_country_or_fault_does_not_parse() {
        for line in ["fault twilio down --country XX", "fault twilio explode"] {
            let words = std::iter::once("hookswitch-sandbox").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
