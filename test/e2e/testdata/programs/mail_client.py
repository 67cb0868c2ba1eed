# Delivers N messages to a recipient, each over a connection of its own.
import smtplib, sys

for _ in range(int(sys.argv[3])):
    with smtplib.SMTP(sys.argv[1], 25, timeout=60) as s:
        s.sendmail("caller@example.com", [sys.argv[2]], "Subject: hello\r\n\r\nhello\r\n")
    print("delivered")
