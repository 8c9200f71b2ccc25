<?php

// The curl calls of SCART (scartHASHcheck) and of Shimmie2's extension, option by option:
//   php check.php scart|shimmie URL NAME KEY HASH
// Prints what curl_exec returned and the status, as JSON.

[, $client, $url, $name, $key, $hash] = $argv;

$options = [
    'scart' => [
        CURLOPT_URL => $url,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_USERPWD => $name . ':' . $key,
        CURLOPT_SSL_VERIFYHOST => false,
        CURLOPT_SSL_VERIFYPEER => false,
        CURLOPT_FOLLOWLOCATION => true,
        CURLOPT_POST => true,
        CURLOPT_POSTFIELDS => $hash,
        CURLOPT_MAXREDIRS => 10,
    ],
    'shimmie' => [
        CURLOPT_URL => $url,
        CURLOPT_HEADER => 0,
        CURLOPT_USERPWD => $name . ':' . $key,
        CURLOPT_TIMEOUT => 30,
        CURLOPT_POST => 1,
        CURLOPT_POSTFIELDS => $hash,
        CURLOPT_RETURNTRANSFER => true,
    ],
];

$request = curl_init();
curl_setopt_array($request, $options[$client]);
$response = curl_exec($request);
$error = curl_error($request);
echo json_encode(['body' => $response, 'status' => curl_getinfo($request, CURLINFO_HTTP_CODE), 'error' => $error]);
