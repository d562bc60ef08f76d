// What jsforce's own test suites import as "../src": the jsforce under test. Only the login is ours:
// the suites log in by SOAP, which the org does not have, so the connection is given a session.
import jsforce from "jsforce";

export const { SfDate } = jsforce;

export class Connection extends jsforce.Connection {
  async login() {
    this._establish({ instanceUrl: process.env.SF_LOGIN_URL, accessToken: process.env.SF_ACCESS_TOKEN });
  }
}
