"""The console program `bird-salesforce`: connect, doctor, rejected and the rest."""
