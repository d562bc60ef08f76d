// Drives jsforce, unmodified, against the org; prints what happened as one JSON object.
import jsforce from "jsforce";

const { LOGIN_URL, CLIENT_ID, CLIENT_SECRET, CALLBACK, USERNAME, PASSWORD } = process.env;
const seen = {};

const oauth2 = new jsforce.OAuth2({
  loginUrl: LOGIN_URL,
  clientId: CLIENT_ID,
  clientSecret: CLIENT_SECRET,
  redirectUri: CALLBACK,
  useVerifier: true,
});

// What a person does in a browser.
async function logIn(url) {
  const request = (page) => page.match(/name="request" value="([^"]+)"/)[1];
  const post = (path, fields, cookie = "") =>
    fetch(LOGIN_URL + path, {
      method: "POST",
      body: new URLSearchParams(fields),
      headers: { cookie },
      redirect: "manual",
    });
  const login = await (await fetch(url)).text();
  const consent = await post("/login", { request: request(login), username: USERNAME, password: PASSWORD });
  const cookie = consent.headers.get("set-cookie").split(";")[0];
  const fields = { request: request(await consent.text()), decision: "allow" };
  const back = await post("/services/oauth2/authorize/decide", fields, cookie);
  return new URL(back.headers.get("location"));
}

const back = await logIn(oauth2.getAuthorizationUrl({ scope: "api refresh_token id", state: "s t" }));
seen.state = back.searchParams.get("state");

const conn = new jsforce.Connection({ oauth2, version: "68.0" });
const user = await conn.authorize(back.searchParams.get("code"));
seen.user = user.id;
seen.organization = user.organizationId;
seen.refreshToken = conn.refreshToken;

const lead = { LastName: "Jansen", Company: "x", Bird_Key__c: "js-1" };
seen.created = await conn.sobject("Lead").create(lead);
seen.identity = (await conn.identity()).username;
try {
  await conn.sobject("Lead").create({ Company: "x" });
} catch (error) {
  seen.refused = error.errorCode;
}
try {
  await conn.query("SELECT Nope FROM Lead");
} catch (error) {
  seen.malformed = error.errorCode;
}

// The session ends; jsforce takes a new one with the refresh token and goes on.
seen.refreshes = 0;
conn.on("refresh", () => { seen.refreshes += 1; });
await fetch(`${LOGIN_URL}/_sandbox/call/oauth.expire_sessions`, {
  method: "POST", body: "{}", headers: { "content-type": "application/json" },
});
seen.afterRefresh = (await conn.sobject("Case").create({ Subject: "x" })).success;

await conn.oauth2.revokeToken(conn.refreshToken);
try {
  await conn.oauth2.refreshToken(conn.refreshToken);
} catch (error) {
  seen.revoked = [error.name, error.message];
}
console.log(JSON.stringify(seen));
